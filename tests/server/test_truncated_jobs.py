"""A running job whose features are cut short under it ends with the weights that it has otherwise."""

from __future__ import annotations

import os
from pathlib import Path

import keras
import numpy as np
import pytest

from frostline_client import Client
from frostline_client.events import EpochEnded
from frostline_server.embedded import serve

pytestmark = pytest.mark.slow  # a server and its warm worker take seconds to start

EPOCHS, COUNT = 12, 4096
RECIPE = {
    "base": "wide",
    "reuse": {"through": "wide"},
    "head": [{"Dense": {"units": 2}}],
    "data": {"train": "rows"},
    "stages": [{"freeze": {"through": "wide"}, "epochs": EPOCHS, "batch_size": 32}],
}


def weights_of(zoo: Client, name: str, folder: Path) -> list[np.ndarray]:
    zoo.models.export(name, folder / f"{name}.keras")
    return keras.models.load_model(folder / f"{name}.keras").get_weights()


def test_features_that_are_cut_short_under_a_running_job_change_no_weight(tmp_path: Path) -> None:
    rows = np.random.default_rng(3).normal(size=(COUNT, 8)).astype(np.float32)
    # Rows far dearer to compute than to read, or the planner of some machine keeps none and there is nothing to cut.
    trunk = [keras.layers.Dense(2048, "relu"), keras.layers.Dense(2048, "relu")]
    keras.Sequential([keras.Input((8,)), *trunk, keras.layers.Dense(1024, "relu", name="wide")]).save(
        tmp_path / "wide.keras"
    )
    data = tmp_path / "data"
    with serve(data, options=["--feature-memory", "1MiB"]) as address, Client(address) as zoo:
        zoo.models.import_file(tmp_path / "wide.keras", "wide")
        zoo.datasets.push("rows", rows, (rows[:, 0] > 0).astype(np.int64))
        zoo.jobs.submit({**RECIPE, "name": "quiet"}).result()
        job = zoo.jobs.submit({**RECIPE, "name": "disturbed"})
        at, cut = [2, 7], 0
        for event in job.watch():
            if at and isinstance(event, EpochEnded) and event.epoch >= at[0]:
                at.pop(0)
                for path in (data / "features").rglob("*.safetensors"):
                    os.truncate(path, path.stat().st_size // 2)
                    cut += 1
        assert cut
        job.result()
        quiet, disturbed = (weights_of(zoo, name, tmp_path) for name in ("quiet", "disturbed"))
    for one, other in zip(quiet, disturbed, strict=True):
        np.testing.assert_array_equal(one, other)
