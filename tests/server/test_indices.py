"""Rows that a network looks up in an Embedding must be indices of its rows, in training and in predictions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_client import Client, layers
from frostline_client.errors import InvalidError, JobFailedError, NotFoundError
from frostline_zoo.errors import InvalidError as ServerError
from frostline_zoo.indices import EXACT, Indices

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
    [(10, np.int64, "10"), (-1, np.int64, "-1"), (1.5, np.float32, "1.5"), (1e9, np.float32, "1000000000")],
)
def test_rows_that_are_no_indices_are_refused_with_row_place_and_layer(
    zoo: Client, value: float, dtype: type, said: str
) -> None:
    rows = WORDS.astype(dtype)
    rows[33, 2] = value
    line = rf"row 33 holds {said} at 2: layer 'table' takes whole numbers from 0 to 9 that [a-z0-9]+, its input"
    with pytest.raises(InvalidError, match=line):
        zoo.predict("ten-words", rows)
    name = f"words-{dtype.__name__}-{said.strip('-').replace('.', '-').lower()}"
    zoo.datasets.push(name, rows, np.arange(40) % 2)
    with pytest.raises(JobFailedError, match=line):
        train(zoo, f"{name}-child", name).result(120)
    with pytest.raises(NotFoundError):
        zoo.models.get(f"{name}-child")


@pytest.mark.parametrize(("dtype", "largest"), [("int8", 127), ("uint8", 255), ("float16", 2048), ("int32", 4999)])
def test_an_index_that_the_input_cannot_hold_is_none(dtype: str, largest: int) -> None:
    indices = Indices("table", 5000)
    rows = np.array([[0, largest]], EXACT)
    assert indices.checked(rows, np.arange(1), dtype).tolist() == [[0, largest]]
    with pytest.raises(ServerError, match=f"row 0 holds {largest + 1} at 1: .* that {dtype}, its input, can hold$"):
        indices.checked(np.add(rows, [0, 1]), np.arange(1), dtype)


def test_whole_numbers_may_be_floats(zoo: Client) -> None:
    assert (zoo.predict("ten-words", WORDS.astype(np.float32)) == zoo.predict("ten-words", WORDS)).all()


@pytest.mark.keras
@pytest.mark.parametrize(
    ("dtype", "value", "said"),
    [("int32", 1.5, "1.5"), ("int32", 2**32 + 3, "4294967299"), ("uint8", 259, "259"), ("uint8", -1, "-1")],
)
def test_rows_are_looked_at_as_they_were_pushed(
    zoo: Client, tmp_path: Path, dtype: str, value: float, said: str
) -> None:
    import keras

    inputs = keras.Input((6,), dtype=dtype, name="words")
    tables = [keras.layers.Embedding(count, 4, name=f"table-{count}")(inputs) for count in (20, 10)]
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(keras.layers.Add()(tables)))
    keras.Model(inputs, outputs).save(tmp_path / "base.keras")
    name = f"{dtype}-{said.strip('-').replace('.', '-')}"
    zoo.models.import_file(tmp_path / "base.keras", f"base-{name}")
    assert zoo.predict(f"base-{name}", WORDS).shape == (40, 2)
    rows = WORDS.astype(np.float64 if value == 1.5 else np.int64)
    rows[7, 0] = value
    line = rf"row 7 holds {said} at 0: layer 'table-10' takes whole numbers from 0 to 9 that [a-z0-9]+, its input"
    with pytest.raises(InvalidError, match=line):
        zoo.predict(f"base-{name}", rows)
    zoo.datasets.push(f"rows-{name}", rows, np.arange(40) % 2)
    head = [layers.Dense(2, activation="softmax")]
    job = zoo.train(name=f"child-{name}", base=f"base-{name}", head=head, data=f"rows-{name}", epochs=1)
    with pytest.raises(JobFailedError, match=line):
        job.result(120)
