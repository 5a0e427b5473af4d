"""Rows that a network looks up in an Embedding must be indices of its rows, in training and in predictions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from frostline_client import Client, layers
from frostline_client.errors import InvalidError, JobFailedError, NotFoundError

WORDS = np.random.default_rng(0).integers(0, 10, (40, 6))


@pytest.fixture(scope="module")
def zoo(server: Any) -> Iterator[Client]:
    """A zoo with a network of ten embedded words."""
    with Client(server.address) as zoo:
        zoo.datasets.push("words", WORDS, np.arange(40) % 2)
        train(zoo, "ten-words", "words").result(120)
        yield zoo


def train(zoo: Client, name: str, data: str) -> Any:
    table = layers.Embedding(input_dim=10, output_dim=4, name="table")
    head = [table, layers.Flatten(), layers.Dense(2, activation="softmax")]
    return zoo.train(name=name, head=head, data=data, epochs=1, batch_size=8)


@pytest.mark.parametrize(
    ("value", "dtype", "said"),
    [(10, np.int64, "10"), (-1, np.int64, "-1"), (1.5, np.float32, "1.5"), (1e9, np.float32, r"1e\+09")],
)
def test_rows_that_are_no_indices_are_refused_with_row_place_and_layer(
    zoo: Client, value: float, dtype: type, said: str
) -> None:
    rows = WORDS.astype(dtype)
    rows[33, 2] = value
    line = rf"row 33 holds {said} at 2: layer 'table' takes whole numbers from 0 to 9$"
    with pytest.raises(InvalidError, match=line):
        zoo.predict("ten-words", rows)
    name = f"words-{abs(hash(value))}"
    zoo.datasets.push(name, rows, np.arange(40) % 2)
    with pytest.raises(JobFailedError, match=line):
        train(zoo, f"{name}-child", name).result(120)
    with pytest.raises(NotFoundError):
        zoo.models.get(f"{name}-child")


def test_whole_numbers_may_be_floats(zoo: Client) -> None:
    assert (zoo.predict("ten-words", WORDS.astype(np.float32)) == zoo.predict("ten-words", WORDS)).all()
