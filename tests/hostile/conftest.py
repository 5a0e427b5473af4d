"""The hostile corpus, made anew for every run, and canaries beside it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the corpus is several modules

import hdf5_samples
import keras_samples
from sample import Canaries, Sample


@pytest.fixture(scope="session")
def canaries(tmp_path_factory: pytest.TempPathFactory) -> Canaries:
    return Canaries(tmp_path_factory.mktemp("canaries"))


@pytest.fixture(scope="session")
def corpus(canaries: Canaries, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sample]:
    """All samples by number."""
    folder = tmp_path_factory.mktemp("corpus")
    found = [*keras_samples.samples(canaries), *hdf5_samples.samples(canaries, folder)]
    return {sample.number: sample for sample in found}
