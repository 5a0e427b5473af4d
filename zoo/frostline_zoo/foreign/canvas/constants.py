"""Arithmetic with constants: numbers that an example is multiplied by or that are added to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.held import Constant, Held, UnsayableError, product
from frostline_zoo.tensors import Array

_LETTERS = "abcdefgh"
_MOST_ELEMENTS = 1 << 26


def affine(canvas: Canvas, name: str, x: Held, factor: Constant | None, offset: Constant | None) -> Held:
    """Returns x * factor + offset.

    One number for all is a `Rescaling`, which does not train. Several are weights, of an `EinsumDense` that multiplies
    along the axes on which they differ and sums over none.
    """
    single = [each for each in (factor, offset) if each is not None]
    if all(each.array.size == 1 for each in single):
        numbers = [None if each is None else plain_number(each.array) for each in (factor, offset)]
        config: dict[str, Any] = {"scale": 1.0 if numbers[0] is None else numbers[0], "offset": numbers[1] or 0.0}
        return canvas.layer(name, "Rescaling", x, config)
    spread = [_spread(each.array, x) for each in single]
    axes = [axis for axis in x.order if any(array.shape[axis] > 1 for array in spread)]
    kernel = _along(factor, x, axes) if factor is not None else Constant(np.ones(_sides(x, axes), np.float32))
    weights = {"kernel": kernel}
    letters = _LETTERS[: x.rank]
    kept = "".join(letters[x.place(axis)] for axis in axes)
    config = {"equation": f"{letters},{kept}->{letters}", "output_shape": list(x.sides)}
    if offset is not None:
        bias = _along(offset, x, axes)
        first = x.place(axes[0])
        sides = [x.shape[axis] if axis in axes else 1 for axis in x.order[first:]]
        weights["bias"] = Constant(bias.array.reshape([side or 1 for side in sides]), bias.sources)
        config["bias_axes"] = kept
    return canvas.layer(name, "EinsumDense", x, config, weights=weights)


def plain_number(array: Array) -> float:
    """Returns the one number of an array; of a float32, the shortest decimal that is it."""
    number = array.reshape(())[()]
    return float(str(number)) if array.dtype == np.float32 else float(number)


def _spread(array: Array, x: Held) -> Array:
    """Returns a constant with one axis for each of the tensor's."""
    if array.ndim > x.rank:
        raise UnsayableError(f"meets a constant of shape {array.shape} on a tensor of rank {x.rank}")
    spread = array.reshape((1,) * (x.rank - array.ndim) + array.shape)
    for axis, (side, own) in enumerate(zip(spread.shape, x.shape, strict=True)):
        if side != 1 and (side != own or axis == x.batch_axis):
            raise UnsayableError(f"meets a constant of shape {array.shape} that enlarges its input")
    return spread


def _sides(x: Held, axes: list[int]) -> tuple[int, ...]:
    sides = tuple(x.shape[axis] or 1 for axis in axes)
    if product(sides) > _MOST_ELEMENTS:
        raise UnsayableError("spreads constants over too many numbers")
    return sides


def _along(constant: Constant, x: Held, axes: list[int]) -> Constant:
    """Returns a constant with the given axes of the tensor's alone, in that order."""
    spread = _spread(constant.array, x)
    order = [*axes, *(axis for axis in range(x.rank) if axis not in axes)]
    moved = np.transpose(spread, order).reshape([spread.shape[axis] for axis in axes])
    array = np.broadcast_to(moved, _sides(x, axes)).astype(np.float32)
    return Constant(array, constant.sources)
