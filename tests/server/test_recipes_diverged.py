"""Training that comes to no number fails its job with one line: which epoch it was, and the mend. Through a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from frostline_client import Client, layers
from frostline_client.errors import JobFailedError, NotFoundError

NEAR_THE_END = np.float32(3e38)
MEND = "scale the inputs, lower the learning rate, or clip the gradients"


@pytest.fixture(scope="module")
def zoo(server: Any) -> Iterator[Client]:
    """A zoo with forty rows of four numbers in two classes: plain, large, and near the end of float32."""
    rows = np.random.default_rng(1).uniform(0.5, 1, (40, 4)).astype(np.float32)
    with Client(server.address) as zoo:
        for name, factor in {"plain-rows": 1, "large-rows": 1e4, "huge-rows": NEAR_THE_END}.items():
            zoo.datasets.push(name, rows * np.float32(factor), np.arange(40) % 2)
        yield zoo


@pytest.mark.parametrize(
    ("what", "recipe"),
    [
        ("the loss is (nan|inf) after epoch 1", {"data": "huge-rows"}),
        ("the loss is (nan|inf) after epoch 2", {"data": "plain-rows", "optimizer": {"SGD": {"learning_rate": 3e38}}}),
        (
            "a weight is not a finite number after epoch 1",
            {"data": "large-rows", "epochs": 1, "optimizer": {"SGD": {"learning_rate": 3e38}}},
        ),
        ("the val_loss is nan after epoch 1", {"validation": "huge-rows", "early_stopping": {"patience": 2}}),
    ],
)
def test_a_job_that_comes_to_no_number_fails_and_stores_nothing(zoo: Client, what: str, recipe: dict[str, Any]) -> None:
    head = [layers.Dense(8, activation="relu"), layers.Dense(2, activation="softmax")]
    job = zoo.train(**{"name": "runaway", "head": head, "epochs": 3, "batch_size": 40, "data": "plain-rows"} | recipe)
    with pytest.raises(JobFailedError, match=f"{what}: {MEND}$"):
        job.result(120)
    with pytest.raises(NotFoundError):
        zoo.models.get("runaway")
