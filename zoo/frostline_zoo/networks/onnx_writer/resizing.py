"""Padding, cropping and resizing as ONNX operators. These work on channels last too, so nothing is turned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from frostline_zoo.networks.onnx_writer.step import Step

_NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"}
_LINEAR = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}


def _axes(step: Step) -> list[int]:
    """Returns the axes of places, which are neither the batch nor the channels."""
    is_first = step.config.get("data_format") == "channels_first"
    return list(range(2, step.rank)) if is_first else list(range(1, step.rank - 1))


def _pairs(value: Any, count: int) -> list[tuple[int, int]]:
    """Returns how much is at both ends of each axis, as Keras spells it: one number, one or two an axis."""
    if isinstance(value, int):
        return [(value, value)] * count
    if count == 1 and len(value) == 2 and all(isinstance(each, int) for each in value):
        return [(value[0], value[1])]
    return [(each, each) if isinstance(each, int) else (each[0], each[1]) for each in value]


def _pad(step: Step) -> str:
    axes = _axes(step)
    # For all axes: ONNX Runtime loses the input that names some of them when it optimizes a graph.
    pads = np.zeros((2, step.rank), np.int64)
    pads[:, axes] = np.transpose(_pairs(step.config["padding"], len(axes)))
    return step.graph.op("Pad", step.x, step.graph.constant(pads.ravel().tolist(), "int64"))


def _crop(step: Step) -> str:
    axes = _axes(step)
    pairs = _pairs(step.config["cropping"], len(axes))
    ends = [-after if after else (1 << 62) for _, after in pairs]
    starts = [before for before, _ in pairs]
    return step.graph.op("Slice", step.x, *(step.graph.constant(each, "int64") for each in (starts, ends, axes)))


def _enlarge(step: Step) -> str:
    axes = _axes(step)
    size = step.config["size"]
    factors = [float(each) for each in size] if isinstance(size, list) else [float(size)] * len(axes)
    how = _how(step, step.config.get("interpolation", "nearest"))
    return step.graph.op("Resize", step.x, "", step.graph.constant(factors), axes=axes, **how)


def _resize(step: Step) -> str:
    config = step.config
    plain = not any(config.get(key) for key in ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"))
    step.require(plain, "keeping the aspect ratio, or antialiasing,")
    sizes = step.graph.constant([config["height"], config["width"]], "int64")
    return step.graph.op(
        "Resize", step.x, "", "", sizes, axes=_axes(step), **_how(step, config.get("interpolation", "bilinear"))
    )


def _how(step: Step, interpolation: str) -> dict[str, str]:
    step.require(interpolation in ("nearest", "bilinear"), f"the interpolation {interpolation}")
    return _NEAREST if interpolation == "nearest" else _LINEAR


WRITERS: dict[str, Callable[[Step], str]] = {
    **{f"ZeroPadding{n}D": _pad for n in (1, 2, 3)},
    **{f"Cropping{n}D": _crop for n in (1, 2, 3)},
    **{f"UpSampling{n}D": _enlarge for n in (1, 2, 3)},
    "Resizing": _resize,
}
