"""The wiring: the one module that picks concrete classes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frostline.v1 import (
    blob_service_pb2_grpc,
    dataset_service_pb2_grpc,
    feature_service_pb2_grpc,
    job_service_pb2_grpc,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)
from frostline_server import machine
from frostline_server.features.store import FeatureStore
from frostline_server.jail.jail import Jail
from frostline_server.jail.locks import Sandbox, sandbox_here
from frostline_server.jobs.bell import Bell
from frostline_server.jobs.executor import LocalExecutor
from frostline_server.jobs.leases import Leases
from frostline_server.jobs.table import Jobs
from frostline_server.jobs.totals import Totals
from frostline_server.jobs.workbench import Workbench
from frostline_server.metrics import Metrics
from frostline_server.services.blobs import BlobService
from frostline_server.services.datasets import DatasetService
from frostline_server.services.features import FeatureService
from frostline_server.services.hub import Hub
from frostline_server.services.imports import Imports
from frostline_server.services.jobs import JobService
from frostline_server.services.models import ModelService
from frostline_server.services.places import Places
from frostline_server.services.predictions import PredictionService
from frostline_server.settings import Settings
from frostline_server.training.zoo import ZooAccess
from frostline_zoo.blobs.local import LocalBlobStore
from frostline_zoo.blobs.staging import Staging
from frostline_zoo.catalogue.database import connect, migrate
from frostline_zoo.catalogue.datasets import Datasets
from frostline_zoo.catalogue.models import Models
from frostline_zoo.catalogue.requests import forget_old
from frostline_zoo.catalogue.tags import Tags
from frostline_zoo.files import make_folder


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
        executor: where jobs run.
        bell: rung when something happens to a job; closed when the server was asked to stop.
        metrics: what is told to Prometheus, where that was asked for.
        sandbox: what the machine has of the locks of the jail that files are read in.
    """

    settings: Settings
    services: list[Service]
    workbench: Workbench
    executor: LocalExecutor
    bell: Bell
    metrics: Metrics | None
    sandbox: Sandbox

    async def start(self) -> None:
        """Starts the worker processes, in the background."""
        if self.settings.workers:
            self.workbench.start()
            await self.executor.start()

    async def stop(self) -> None:
        """Ends streams without an end, and the worker processes; what these were at goes on with the next server."""
        self.bell.close()
        grace = self.settings.grace_seconds
        await asyncio.gather(self.workbench.stop(grace), self.executor.stop(grace))


def build(settings: Settings, data: Path) -> Wiring:
    """Opens the data folder, brings its tables to the newest form, and puts a server together."""
    engine = connect(data / "frostline.db")
    migrate(engine)
    with engine.begin() as connection:
        forget_old(connection)
    blobs = LocalBlobStore(data)
    staging = Staging(blobs)
    staging.clean()
    models, tags, datasets = Models(engine, blobs), Tags(engine), Datasets(engine, blobs)
    features = _features(data, settings.feature_bytes)
    memory_bytes = settings.feature_memory or machine.memory_bytes() // 2
    growth_bytes = settings.worker_growth if settings.worker_growth is not None else machine.memory_bytes() // 8
    limits = {"feature-bytes": features.budget_bytes, "feature-memory": memory_bytes, "worker-growth": growth_bytes}
    bell, sandbox = Bell(), sandbox_here()
    workbench = Workbench(_worker("workbench", data, limits))
    executor = LocalExecutor(_worker("trainer", data, limits), Leases(engine, models), bell)
    hub = Hub(settings.hub_cache, settings.hub_hosts)
    imports = Imports(engine, blobs, models, Jail(), workbench, hub, settings.largest_import_bytes)
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
            DatasetService(datasets),
            dataset_service_pb2_grpc.add_DatasetServiceServicer_to_server,
        ),
        Service(
            "frostline.v1.JobService",
            JobService(Jobs(engine), models, datasets, executor, workbench, bell),
            job_service_pb2_grpc.add_JobServiceServicer_to_server,
        ),
        Service(
            "frostline.v1.FeatureService",
            FeatureService(features, Places(models, blobs)),
            feature_service_pb2_grpc.add_FeatureServiceServicer_to_server,
        ),
        Service(
            "frostline.v1.PredictionService",
            PredictionService(models, workbench),
            prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server,
        ),
    ]
    metrics = Metrics(settings.metrics, Totals(engine), features, sandbox) if settings.metrics else None
    return Wiring(settings, services, workbench, executor, bell, metrics, sandbox)


def open_zoo(data: Path, feature_bytes: int, feature_memory_bytes: int) -> ZooAccess:
    """Opens the data folder in a worker process. The server has brought its tables to the newest form.

    Args:
        data: the folder.
        feature_bytes: how much disk the features may take.
        feature_memory_bytes: how many bytes of features a job may have in memory.
    """
    engine = connect(data / "frostline.db")
    blobs = LocalBlobStore(data)
    features = _features(data, feature_bytes)
    return ZooAccess(engine, blobs, Models(engine, blobs), Datasets(engine, blobs), features, feature_memory_bytes)


def open_leases(zoo: ZooAccess) -> Leases:
    """Gives a worker process its access to the jobs."""
    return Leases(zoo.engine, zoo.models)


def _features(data: Path, feature_bytes: int | None) -> FeatureStore:
    """Opens the features, which may take `feature_bytes` of the disk; None: half of what is free."""
    folder = data / "features"
    make_folder(folder)
    features = FeatureStore(folder, machine.disk_bytes(folder) // 2 if feature_bytes is None else feature_bytes)
    features.trim()
    return features


def _worker(kind: str, data: Path, limits: Mapping[str, int | None]) -> list[str]:
    options = [f"--{name}={limit}" for name, limit in limits.items()]
    return [sys.executable, "-m", "frostline_server.worker", kind, "--data", str(data), *options]
