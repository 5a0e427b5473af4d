"""Networks run forward: how many rows at once, and what is said where rows do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from frostline_zoo.errors import InvalidError

pytestmark = pytest.mark.keras


def words(places: int | None, *layers: Any) -> Any:
    """A network of texts: 2,048 numbers for each of their places."""
    import keras

    ids = keras.Input((places,), dtype="int32")
    numbers = keras.layers.Dense(2048)(keras.layers.Embedding(9, 4)(ids))
    return keras.Model(ids, keras.Sequential(layers)(numbers) if layers else numbers)


def test_a_free_side_counts_as_a_text_of_128_tokens() -> None:
    from frostline_server.engine.forward import forward_batch_size

    assert forward_batch_size(words(None)) == forward_batch_size(words(128)) == 32
    assert forward_batch_size(words(2)) == 512


def test_rows_of_a_size_that_a_network_cannot_take_are_refused_with_it() -> None:
    import keras

    from frostline_server.engine.forward import compiled_forward

    forward = compiled_forward(words(None, keras.layers.Reshape((-1, 2, 2048))))
    assert forward([np.zeros((2, 6), np.int32)])[0].shape == (2, 3, 2, 2048)
    with pytest.raises(InvalidError, match=r"cannot take rows of shape \(5,\)"):
        forward([np.zeros((2, 5), np.int32)])
