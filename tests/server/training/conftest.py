"""A zoo in a folder, without a server: what a worker sees."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_server.features.store import FeatureStore
from frostline_server.jobs.checkpoint import Checkpoint
from frostline_server.training.events import Event
from frostline_server.training.recipe import Recipe
from frostline_server.training.zoo import ZooAccess
from frostline_zoo.blobs.local import LocalBlobStore
from frostline_zoo.catalogue.database import connect, migrate
from frostline_zoo.catalogue.datasets import Datasets, NewVersion
from frostline_zoo.catalogue.models import Models
from frostline_zoo.examples.lists import ExampleList
from frostline_zoo.examples.spec import ExampleSpec
from frostline_zoo.names import DatasetName, parse_model_reference
from frostline_zoo.tensors import decode_tensors


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
            digests.extend(batch.answers)
    listed = zoo.blobs.put(ExampleList(np.concatenate(digests).reshape(-1, 32), labels).encode())
    zoo.datasets.create_version(NewVersion(DatasetName(name), listed, spec))


@pytest.fixture
def zoo(tmp_path: Path) -> ZooAccess:
    return open_zoo(tmp_path / "data")


@pytest.fixture
def push_rows(zoo: ZooAccess) -> Callable[[str, np.ndarray, np.ndarray], None]:
    """Makes datasets of rows and labels."""
    return lambda name, rows, labels: push(zoo, name, rows, labels)


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


@pytest.fixture(scope="module")
def programs() -> Any:
    from frostline_server.training.programs import Programs

    return Programs()


@pytest.fixture
def run(zoo: ZooAccess, tmp_path: Path, programs: Any) -> Callable[..., Any]:
    """Runs a recipe as the trainer does, and adds what it made to the zoo.

    The disk counts as a fast one: what is planned must not depend on what else the machine writes.
    """
    from frostline_server.training.costs import Costs, DiskSpeed
    from frostline_server.training.run import Surroundings, run_recipe

    class OnFastDisk(Costs):
        def disk(self, folder: Path) -> DiskSpeed:
            return DiskSpeed(1e9, 1e9, 1e9)

    def run_it(
        name: str,
        *,
        on: Callable[[Event], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
        waiting: Sequence[str] = (),
        within: ZooAccess | None = None,
        costs: Any = None,
        compiled: Any = None,
        **keys: Any,
    ) -> Any:
        recipe = {"name": name, "data": {"train": "digits"}, "seed": 3, **keys}
        checkpoint = Checkpoint(tmp_path / name)
        around = Surroundings(
            within or zoo, compiled or programs, costs or OnFastDisk(), on, checkpoint, stop, lambda: list(waiting)
        )
        outcome = run_recipe(Recipe.parse(json.dumps(recipe)), around, "jobs/abcabcabcabc")
        with zoo.engine.begin() as connection:
            zoo.models.add_version(connection, name, outcome.manifest)
        return outcome

    return run_it


@pytest.fixture
def within(zoo: ZooAccess) -> Callable[..., ZooAccess]:
    """Opens the zoo with so much disk and memory for features, in bytes; None is no bound."""

    def opened(disk: int | None = None, memory: int | None = None) -> ZooAccess:
        return replace(zoo, features=FeatureStore(zoo.features.root, disk), feature_memory_bytes=memory)

    return opened


@pytest.fixture
def recorded() -> Callable[..., Any]:
    """Costs as they were once: seconds a row by layer, bytes a second to and from disk, seconds to prepare a row."""
    from frostline_server.training.costs import Costs, DiskSpeed

    class Recorded(Costs):
        def __init__(self, layers: dict[str, float], disk: float = 1e9, prepare: float = 0.0) -> None:
            super().__init__()
            self.asked: list[str] = []
            self._layers, self._speed, self._prepare = layers, DiskSpeed(disk, disk, disk), prepare

        def forward(self, network: Any, zeros: Any) -> Any:
            self.asked.append("forward")
            calls = {(layer.name, 0) for layer in network.manifest.layers}
            return {call: self._layers.get(call[0], 0.0) for call in calls}

        def trunk(self, key: Any, make: Any, zeros: Any) -> float:
            self.asked.append("trunk")
            return sum(self._layers.values())

        def disk(self, folder: Path) -> DiskSpeed:
            self.asked.append("disk")
            return self._speed

        def prepare(self, read_inputs: Any, count: int) -> float:
            self.asked.append("prepare")
            return self._prepare

    return Recorded


@pytest.fixture
def add_network(zoo: ZooAccess) -> Callable[[str, Any], None]:
    """Puts a Keras model into the zoo."""

    def add(name: str, model: Any) -> None:
        from frostline_zoo.networks.describe import describe

        network = describe(model)
        for content in network.blobs.values():
            zoo.blobs.put(content)
        with zoo.engine.begin() as connection:
            zoo.models.add_version(connection, name, network.manifest)

    return add


@pytest.fixture
def bits(zoo: ZooAccess) -> Callable[[str], dict[str, bytes]]:
    """Reads a model's weights, byte for byte, by layer and name."""

    def bits_of(model: str) -> dict[str, bytes]:
        _, manifest = zoo.models.manifest_of(parse_model_reference(model))
        return {
            f"{layer.name}/{name}": array.tobytes()
            for layer in manifest.layers
            if layer.blob
            for name, array in decode_tensors(zoo.blobs.get(layer.blob)).items()
        }

    return bits_of
