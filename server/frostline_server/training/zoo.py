"""What a worker reads and writes: the parts of the data folder, opened in its own process."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from frostline_server.features.store import FeatureStore
from frostline_zoo.blobs.store import BlobStore
from frostline_zoo.catalogue.datasets import Datasets
from frostline_zoo.catalogue.models import Models


@dataclass(frozen=True)
class ZooAccess:
    """The zoo as training sees it.

    Attributes:
        feature_memory_bytes: how much of the features may be in memory at a time; None: all of them.
    """

    engine: Engine
    blobs: BlobStore
    models: Models
    datasets: Datasets
    features: FeatureStore
    feature_memory_bytes: int | None = None
