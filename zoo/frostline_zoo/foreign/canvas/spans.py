"""Spans of an axis: cut out, strode through, or padded by zeros."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.held import Held, UnsayableError, product
from frostline_zoo.foreign.canvas.windows import subsampled, zero_padded


def sliced(canvas: Canvas, name: str, x: Held, axis: int, start: int, stop: int, step: int) -> Held:
    """Returns every step-th place from `start` up to `stop` of an axis, both within its side."""
    axis = x.example_axis(axis)
    side = x.shape[axis]
    if side is None or step < 1 or not 0 <= start < stop <= side:
        raise UnsayableError("takes an empty span, one backwards, or one of a side that is free")
    if (start, stop, step) == (0, side, 1):
        return x
    return on_axis(canvas, x, axis, lambda flat: _cut(canvas, name, flat, start, side - stop, step))


def padded(canvas: Canvas, name: str, x: Held, begins: list[int], ends: list[int]) -> Held:
    """Returns x with zeros around it, a number of them for each axis; negative numbers crop."""
    spatial = x.order[1:-1]
    if begins[x.batch_axis] or ends[x.batch_axis]:
        raise UnsayableError("pads the batch")
    changed = [axis for axis in range(x.rank) if begins[axis] or ends[axis]]
    if 3 <= x.rank <= 5 and set(changed) <= set(spatial):
        # To the windows' functions, which know channels first alone, the axes between batch and last are the spatial.
        seen = replace(x, shape=tuple(x.shape[axis] for axis in (x.order[0], x.order[-1], *spatial)))
        seen = replace(seen, order=(0, *range(2, x.rank), 1))
        made = zero_padded(
            canvas, name, seen, tuple(begins[axis] for axis in spatial), tuple(ends[axis] for axis in spatial)
        )
        shape = list(x.shape)
        for at, axis in enumerate(spatial):
            shape[axis] = made.shape[2 + at]
        return replace(made, shape=tuple(shape), order=x.order)
    for axis in changed:
        begin, end = begins[axis], ends[axis]
        x = on_axis(
            canvas,
            x,
            axis,
            lambda flat, b=begin, e=end: zero_padded(canvas, name, flat, (0, b), (0, e)),  # type: ignore[misc]
        )
    return x


def _cut(canvas: Canvas, name: str, flat: Held, start: int, beyond: int, step: int) -> Held:
    cropped = zero_padded(canvas, name, flat, (0, -start), (0, -beyond))
    return subsampled(canvas, name, cropped, (1, step))


def on_axis(canvas: Canvas, x: Held, axis: int, change: Callable[[Held], Held]) -> Held:
    """Returns x changed along an axis, by a function of maps (batch, after, before, axis), held channels last."""
    x.known()
    place = x.place(axis)
    sides = [side or 1 for side in x.sides]
    before, after = product(sides[: place - 1]), product(sides[place:])
    flat_shape = (x.shape[x.batch_axis], after, before, x.shape[axis])
    flat = canvas.reshaped(x, replace(x, shape=flat_shape, order=(0, 2, 3, 1)))
    made = change(flat)
    shape = tuple(made.shape[3] if each == axis else side for each, side in enumerate(x.shape))
    return canvas.reshaped(made, replace(x, ref=made.ref, shape=shape))
