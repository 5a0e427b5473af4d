"""Pooling, with any padding: Keras pads by zeros or by its own `same`, and other tools by what they are told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.held import Held, Side, UnsayableError, channels_last
from frostline_zoo.foreign.canvas.windows import Sides, Window, same_pads, subsampled, zero_padded


def max_pooled(canvas: Canvas, name: str, x: Held, window: Window, over: Sides) -> Held:
    """Returns the largest number of each window; what is padded, or reached over, never is."""
    x, window = _ready(canvas, x, replace(window, ends=_sum(window.ends, over)))
    if window.padded and not window.is_same(x.shape[2:]) and x.never_negative:  # then zero is never larger either
        x, window = zero_padded(canvas, name, x, window.begins, window.ends), window.unpadded()
    return _pooled(canvas, name, x, "Max", window)


def average_pooled(canvas: Canvas, name: str, x: Held, window: Window, over: Sides, padding_counts: bool) -> Held:
    """Returns the average of each window, its padding counted as zeros, or not at all.

    Args:
        canvas: where it is drawn.
        name: the layer's.
        x: (batch, channels, ...).
        window: how it slides.
        over: how far the last window of each axis reaches over the padding; that never counts.
        padding_counts: whether the padding does.
    """
    x, window = _ready(canvas, x, replace(window, ends=_sum(window.ends, over)))
    if padding_counts and any((*window.begins, *window.ends)):
        counted = tuple(end - more for end, more in zip(window.ends, over, strict=True))
        x = zero_padded(canvas, name, x, window.begins, counted)
        window = replace(window, begins=(0,) * len(over), ends=over)
    return _pooled(canvas, name, x, "Average", window)


def global_pooled(canvas: Canvas, name: str, x: Held, kind: str) -> Held:
    """Returns the average ("Average") or the largest ("Max") number of each channel, its sides kept as ones."""
    rank = x.rank - 2
    if not 1 <= rank <= 3 or x.batch_axis != 0:
        raise UnsayableError(f"pools a tensor of rank {x.rank}")
    x = canvas.held(x, channels_last(x.rank))
    shape = (*x.shape[:2], *(1,) * rank)
    class_name = f"Global{kind}Pooling{rank}D"
    return canvas.layer(name, class_name, x, {"keepdims": True}, shape=shape, never_negative=x.never_negative)


def reaching_over(window: Window, sides: tuple[Side, ...]) -> Sides:
    """Returns how far the last window reaches over the padded end of each axis, where places are rounded up.

    A window that would begin in the padding at the end is left out, as ONNX and Caffe do.
    """
    over = []
    for side, reach, stride, begin, end in zip(
        sides, window.reach, window.strides, window.begins, window.ends, strict=True
    ):
        if side is None:
            raise UnsayableError("rounds up over a side that is free: export the network for one input size")
        places = -(-(side + begin + end - reach) // stride) + 1
        if (places - 1) * stride >= side + begin:
            places -= 1
        over.append(max((places - 1) * stride + reach - (side + begin + end), 0))
    return tuple(over)


def _ready(canvas: Canvas, x: Held, window: Window) -> tuple[Held, Window]:
    rank = len(window.size)
    if rank > 3 or x.rank != rank + 2 or x.batch_axis != 0:
        raise UnsayableError(f"pools a tensor of rank {x.rank} by a window of rank {rank}")
    if max(window.dilations) > 1:
        raise UnsayableError("is dilated, which Keras's pooling is not")
    window.places(x.shape[2:])
    return canvas.held(x, channels_last(x.rank)), window


def _pooled(canvas: Canvas, name: str, x: Held, kind: str, window: Window) -> Held:
    """Pools with padding that does not count, as in Keras's `same`."""
    places = window.places(x.shape[2:])
    if not window.padded or window.is_same(x.shape[2:]):
        return _layer(canvas, name, x, kind, window, places)
    # Keras pads otherwise: it pools at every place, and the places are kept at which the window comes to rest.
    every = replace(window, strides=(1,) * len(window.size))
    own = [same_pads(side, reach, 1) or (0, 0) for side, reach in zip(x.shape[2:], every.reach, strict=True)]
    every = replace(every, begins=tuple(begin for begin, _ in own), ends=tuple(end for _, end in own))
    sides = x.shape[2:]
    made = _layer(canvas, name, x, kind, every, sides)
    first = [begin - asked for begin, asked in zip(every.begins, window.begins, strict=True)]
    last = [
        None if count is None else start + (count - 1) * stride
        for start, count, stride in zip(first, places, window.strides, strict=True)
    ]
    if min(first) < 0 or any(end is None or side is None or end >= side for end, side in zip(last, sides, strict=True)):
        raise UnsayableError("pads by more than half its window, or pads a side that is free")
    beyond = [(side or 0) - 1 - (end or 0) for side, end in zip(sides, last, strict=True)]
    made = zero_padded(canvas, name, made, tuple(-each for each in first), tuple(-each for each in beyond))
    return subsampled(canvas, name, made, window.strides)


def _layer(canvas: Canvas, name: str, x: Held, kind: str, window: Window, places: tuple[Side, ...]) -> Held:
    config: dict[str, Any] = {
        "pool_size": list(window.size),
        "strides": list(window.strides),
        "padding": "same" if window.padded else "valid",
    }
    shape = (*x.shape[:2], *places)
    class_name = f"{kind}Pooling{len(window.size)}D"
    return canvas.layer(name, class_name, x, config, shape=shape, never_negative=x.never_negative)


def _sum(ends: Sides, over: Sides) -> Sides:
    return tuple(end + more for end, more in zip(ends, over, strict=True))
