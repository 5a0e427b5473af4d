"""The hostile corpus, made anew for every run, canaries beside it, and a server that all of it is sent to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile import corpus as all_samples
from tests.hostile import exported_samples
from tests.hostile.real_server import RealServer, real_server
from tests.hostile.sample import Canaries, Sample


@pytest.fixture(scope="session")
def canaries() -> Iterator[Canaries]:
    """Canaries in a folder that everybody may use: only the jail's locks keep anything from them."""
    with tempfile.TemporaryDirectory() as folder:
        yield Canaries(Path(folder))


@pytest.fixture(scope="session")
def corpus(canaries: Canaries, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sample]:
    """All samples by number."""
    return all_samples.corpus(canaries, tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def hostile(corpus: dict[str, Sample]) -> list[Sample]:
    """Those that must be refused."""
    return [sample for sample in corpus.values() if sample.is_hostile]


@pytest.fixture(scope="session")
def benign(corpus: dict[str, Sample], tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Those that must be taken in; making them imports TensorFlow."""
    exported = exported_samples.samples(tmp_path_factory.mktemp("exported"))
    return [*(sample for sample in corpus.values() if not sample.is_hostile), *exported]


@pytest.fixture(scope="session")
def server(corpus: dict[str, Sample], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """A server, warm."""
    with real_server(tmp_path_factory.mktemp("hostile")) as running:
        running.warm_up(corpus["B01"])
        yield running
