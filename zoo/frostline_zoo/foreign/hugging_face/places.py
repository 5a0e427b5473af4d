"""Places of a sequence, (batch, places, numbers): the first of them, and further ones that are learned."""

from __future__ import annotations

from dataclasses import replace

from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.held import Constant, Held, Side, UnsayableError, as_is
from frostline_zoo.foreign.hugging_face.layers import Layers

_MOST_ROWS = 1 << 20  # what the allow-list takes of numbers in a row


def reshaped(canvas: Canvas, name: str, x: Held, shape: tuple[Side, ...]) -> Held:
    """Returns x in another shape, the numbers in the same sequence as Keras holds them; one side may be free."""
    sides = [-1 if side is None else side for side in shape[1:]]
    made = canvas.layer(name, "Reshape", x, {"target_shape": sides}, shape=shape, order=as_is(len(shape)))
    return replace(made, never_negative=x.never_negative)


def first_place(canvas: Canvas, name: str, x: Held, most: int) -> Held:
    """Returns what stands at the first place, (batch, numbers). More places than `most` do not fit, and are refused."""
    config = {"pool_size": 1, "strides": most, "padding": "valid"}
    taken = canvas.layer(f"{name}.first", "MaxPooling1D", x, config, shape=(None, 1, x.shape[2]))
    return reshaped(canvas, name, taken, (None, x.shape[2]))


def without_first(canvas: Canvas, name: str, x: Held) -> Held:
    """Returns all places but the first."""
    shape = (None, (x.shape[1] or 1) - 1, x.shape[2])
    return canvas.layer(name, "Cropping1D", x, {"cropping": [1, 0]}, shape=shape)


def learned(layers: Layers, name: str, table: Constant, x: Held) -> Held:
    """Returns a table's rows, (batch, rows, numbers), the same for every example of x.

    Keras has no layer that puts out its weights alone, so they are looked up, by numbers that x gives no part of: zeros
    are put before it, and all but those are cut away.

    Raises:
        UnsayableError: there are more rows than a layer's configuration lists.
    """
    if len(table.array) > _MOST_ROWS:
        raise UnsayableError(f"has {len(table.array):,} places, more than {_MOST_ROWS:,}")
    canvas, (rows, _), (_, places, numbers) = layers.canvas, table.array.shape, x.shape
    shape = (None, rows, numbers)
    padded = canvas.layer(f"{name}.padded", "ZeroPadding1D", x, {"padding": [rows, 0]})
    zeros = canvas.layer(f"{name}.zeros", "Cropping1D", padded, {"cropping": [0, places]}, shape=shape)
    config = {"data_format": "channels_first"}
    column = canvas.layer(f"{name}.column", "GlobalMaxPooling1D", zeros, config, shape=shape[:2], order=as_is(2))
    numbered = {"scale": 1.0, "offset": list(range(rows))}
    return layers.embedding(name, table, canvas.layer(f"{name}.numbers", "Rescaling", column, numbered))
