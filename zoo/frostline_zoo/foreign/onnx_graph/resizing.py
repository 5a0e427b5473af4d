"""Operators that resize feature maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from frostline_zoo.foreign.canvas.held import Held, UnsayableError, channels_last
from frostline_zoo.foreign.onnx_graph.step import Step, operator
from frostline_zoo.tensors import Array


@operator("Resize", "Upsample")
def _resize(step: Step) -> Held:
    x = step.canvas.held(step.held(), channels_last(step.held().rank))
    old, new = x.known(), _resized(step, x)
    if new[:2] != list(old[:2]) or x.rank not in (3, 4):
        raise UnsayableError("resizes the batch or the channels, or a volume")
    mode = step.attribute("mode", "nearest")
    at = step.attribute("coordinate_transformation_mode", "half_pixel" if step.opset > 10 else "asymmetric")
    odd = [key for key in ("antialias", "exclude_outside") if step.attribute(key, 0)]
    if odd or step.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise UnsayableError(f"resizes with {', '.join(odd) or 'a kept aspect ratio'}")
    spans = list(zip(old[2:], new[2:], strict=True))
    whole = all(out % side == 0 for side, out in spans)
    factors = [out // side for side, out in spans]
    shape = tuple(new)
    if mode == "nearest":
        maps = [_nearest(side, out, at, step) for side, out in spans]
        if whole and maps == [[i * side // out for i in range(out)] for side, out in spans]:
            config: dict[str, Any] = {"size": factors if x.rank == 4 else factors[0]}
            return step.canvas.layer(
                step.label, f"UpSampling{x.rank - 2}D", x, config, shape=shape, never_negative=x.never_negative
            )
        if x.rank == 4 and maps == [[int((i + 0.5) * side / out) for i in range(out)] for side, out in spans]:
            return _resizing(step, x, shape, "nearest")
    centred = at == "half_pixel" or (at == "pytorch_half_pixel" and min(new[2:]) > 1)
    if mode == "linear" and x.rank == 4 and (centred or new == list(old)):
        if whole:
            config = {"size": factors, "interpolation": "bilinear"}
            return step.canvas.layer(
                step.label, "UpSampling2D", x, config, shape=shape, never_negative=x.never_negative
            )
        return _resizing(step, x, shape, "bilinear")
    raise UnsayableError(f"resizes by {mode} interpolation with {at} coordinates")


def _resizing(step: Step, x: Held, shape: tuple[int, ...], interpolation: str) -> Held:
    config = {"height": shape[2], "width": shape[3], "interpolation": interpolation}
    return step.canvas.layer(step.label, "Resizing", x, config, shape=shape, never_negative=x.never_negative)


def _resized(step: Step, x: Held) -> list[int]:
    """Returns the new shape."""
    old = x.known()
    has_roi = step.node.op_type == "Resize" and step.opset > 10
    axes = [axis % x.rank for axis in step.attribute("axes", range(x.rank))]
    sizes = step.optional(3) if has_roi else None
    if sizes is not None and sizes.array.size:
        given = step.ints("", 3) or []
    else:
        scales = step.attribute("scales") or step.constant(2 if has_roi else 1).array.astype(float).tolist()
        given = [int(old[axis] * scale) for axis, scale in zip(axes, scales, strict=True)]
    if any(not 0 < side <= 1 << 16 for axis, side in zip(axes, given, strict=True) if axis > 1):
        raise UnsayableError("resizes to nothing, or to too much")
    return [given[axes.index(axis)] if axis in axes else side for axis, side in enumerate(old)]


def _nearest(side: int, out: int, at: str, step: Step) -> list[int]:
    """Returns which place each new place takes its number from, as ONNX's Resize says."""
    places: Array
    new = np.arange(out)
    scale = out / side
    if at == "asymmetric":
        places = new / scale
    elif at == "align_corners":
        places = new * (side - 1) / max(out - 1, 1)
    elif at in ("half_pixel", "pytorch_half_pixel"):
        places = (new + 0.5) / scale - 0.5 if out > 1 or at == "half_pixel" else new * 0.0
    else:
        raise UnsayableError(f"resizes with {at} coordinates")
    mode = step.attribute("nearest_mode", "round_prefer_floor" if step.opset > 10 else "floor")
    roundings: dict[str, Callable[[Array], Array]] = {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda each: np.ceil(each - 0.5),
        "round_prefer_ceil": lambda each: np.floor(each + 0.5),
    }
    return [int(each) for each in np.clip(roundings[mode](places), 0, side - 1)]
