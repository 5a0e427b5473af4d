"""What a worker reads and writes: the parts of the data folder, opened in its own process."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Engine

from frostline_server.features.store import FeatureStore
from frostline_server.training.built import Built
from frostline_zoo.blobs.store import BlobStore
from frostline_zoo.catalogue.datasets import Datasets
from frostline_zoo.catalogue.models import Models
from frostline_zoo.manifest import Manifest
from frostline_zoo.names import parse_model_reference


@dataclass(frozen=True)
class ZooAccess:
    """The zoo as training sees it.

    Attributes:
        feature_memory_bytes: how much of the features may be in memory at a time; None: all of them.
        built: the networks that were built lately.
    """

    engine: Engine
    blobs: BlobStore
    models: Models
    datasets: Datasets
    features: FeatureStore
    feature_memory_bytes: int | None = None
    built: Built = field(default_factory=Built)

    def manifest_of(self, reference: str) -> Manifest:
        """Returns the manifest of a model, given as NAME, NAME:TAG or NAME@VERSION.

        Raises:
            NotFoundError: the zoo has no such model or version.
        """
        return self.models.manifest_of(parse_model_reference(reference))[1]
