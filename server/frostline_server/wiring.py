"""The wiring: the one module that picks concrete classes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frostline.v1 import blob_service_pb2_grpc, dataset_service_pb2_grpc, model_service_pb2_grpc
from frostline_server.jobs.workbench import Workbench
from frostline_server.services.blobs import BlobService
from frostline_server.services.datasets import DatasetService
from frostline_server.services.imports import Imports
from frostline_server.services.models import ModelService
from frostline_server.settings import Settings
from frostline_zoo.blobs.local import LocalBlobStore
from frostline_zoo.blobs.staging import Staging
from frostline_zoo.catalogue.database import connect, migrate
from frostline_zoo.catalogue.datasets import Datasets
from frostline_zoo.catalogue.models import Models
from frostline_zoo.catalogue.requests import forget_old
from frostline_zoo.catalogue.tags import Tags


@dataclass(frozen=True)
class Service:
    """A service of the API: its full name, its servicer, and how that is added to a server."""

    name: str
    servicer: Any
    add: Callable[[Any, Any], None]


@dataclass(frozen=True)
class Wiring:
    """Everything that a running server consists of.

    Attributes:
        services: what it answers.
        workbench: the process for what needs Keras and has a caller waiting.
        stopping: set when the server was asked to stop; streams without an end then end with UNAVAILABLE.
    """

    settings: Settings
    services: list[Service]
    workbench: Workbench
    stopping: asyncio.Event

    async def start(self) -> None:
        """Starts the worker processes, in the background."""
        if self.settings.workers:
            self.workbench.start()

    async def stop(self) -> None:
        """Stops the worker processes; what they were at goes on with the next server."""
        await self.workbench.stop(self.settings.grace_seconds)


def build(settings: Settings, data: Path) -> Wiring:
    """Opens the data folder, brings its tables to the newest form, and puts a server together."""
    engine = connect(data / "frostline.db")
    migrate(engine)
    with engine.begin() as connection:
        forget_old(connection)
    blobs = LocalBlobStore(data)
    staging = Staging(blobs)
    staging.clean()
    models, tags = Models(engine, blobs), Tags(engine)
    workbench = Workbench(_worker("workbench", data))
    imports = Imports(engine, blobs, models, workbench, settings.largest_import_bytes)
    stopping = asyncio.Event()
    services = [
        Service(
            "frostline.v1.BlobService",
            BlobService(blobs, staging, settings.largest_blob_bytes),
            blob_service_pb2_grpc.add_BlobServiceServicer_to_server,
        ),
        Service(
            "frostline.v1.ModelService",
            ModelService(models, tags, blobs, imports, workbench),
            model_service_pb2_grpc.add_ModelServiceServicer_to_server,
        ),
        Service(
            "frostline.v1.DatasetService",
            DatasetService(Datasets(engine, blobs)),
            dataset_service_pb2_grpc.add_DatasetServiceServicer_to_server,
        ),
    ]
    return Wiring(settings, services, workbench, stopping)


def _worker(kind: str, data: Path) -> list[str]:
    return [sys.executable, "-m", "frostline_server.jobs.worker", kind, "--data", str(data)]
