"""A zoo in a folder, without a server: what a worker sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_server.features.store import FeatureStore
from frostline_server.training.zoo import ZooAccess
from frostline_zoo.blobs.local import LocalBlobStore
from frostline_zoo.catalogue.database import connect, migrate
from frostline_zoo.catalogue.datasets import Datasets, NewVersion
from frostline_zoo.catalogue.models import Models
from frostline_zoo.examples.lists import ExampleList
from frostline_zoo.examples.spec import ExampleSpec
from frostline_zoo.names import DatasetName


def open_zoo(folder: Path) -> ZooAccess:
    """Opens the zoo in `folder`, made where it is missing."""
    folder.mkdir(exist_ok=True)
    engine = connect(folder / "frostline.db")
    migrate(engine)
    blobs = LocalBlobStore(folder)
    return ZooAccess(engine, blobs, Models(engine, blobs), Datasets(engine, blobs), FeatureStore(folder / "features"))


def push(zoo: ZooAccess, name: str, rows: np.ndarray, labels: np.ndarray | None) -> None:
    """Makes a dataset of rows."""
    spec = ExampleSpec.parse(f"array {rows.dtype} {','.join(map(str, rows.shape[1:]))}")
    intake = zoo.datasets.contents.intake(spec)
    digests = []
    for batch in (intake.add(rows.tobytes(), []), intake.rest()):
        if batch is not None:
            zoo.datasets.contents.keep(batch)
            digests += batch.answers
    listed = zoo.blobs.put(ExampleList(np.concatenate(digests), labels).encode())
    zoo.datasets.create_version(NewVersion(DatasetName(name), listed, spec))


@pytest.fixture
def zoo(tmp_path: Path) -> ZooAccess:
    return open_zoo(tmp_path / "data")


@pytest.fixture
def digits(zoo: ZooAccess) -> Callable[..., Any]:
    """Pushes blobs of numbers with five classes: a task that a small network learns in a few epochs."""

    def push_digits(name: str, count: int = 100, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        chance = np.random.default_rng(seed)
        labels = chance.integers(0, 5, count)
        centres = np.random.default_rng(99).normal(size=(5, size))
        rows = (centres[labels] + 0.5 * chance.normal(size=(count, size))).astype(np.float32)
        push(zoo, name, rows, labels.astype(np.int64))
        return rows, labels

    return push_digits
