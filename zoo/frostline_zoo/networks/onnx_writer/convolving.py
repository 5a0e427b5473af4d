"""Convolutions and pooling as ONNX operators: channels first, kernels turned, padding counted out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from frostline_zoo.networks.onnx_writer.activations import activated
from frostline_zoo.networks.onnx_writer.step import Step
from frostline_zoo.tensors import Array


def first(step: Step) -> str:
    """Returns the layer's input with its channels first."""
    return step.x if _is_first(step) else step.graph.to_first(step.x, step.rank)


def as_keras_has_it(step: Step, value: str, rank: int) -> str:
    """Returns a value of channels first in the order in which the layer gives it."""
    return value if _is_first(step) else step.graph.to_last(value, rank)


def _is_first(step: Step) -> bool:
    return step.config.get("data_format") == "channels_first"


def _places(step: Step) -> tuple[int | None, ...]:
    return step.shape[2:] if _is_first(step) else step.shape[1:-1]


def _each_side(value: Any, rank: int) -> list[int]:
    return [int(side) for side in value] if isinstance(value, list | tuple) else [int(value)] * rank


def _padding(step: Step, kernel: Sequence[int], strides: Sequence[int], dilation: Sequence[int]) -> dict[str, Any]:
    """Returns the attribute that pads as the layer does."""
    kind = step.config.get("padding", "valid")
    spans = [(size - 1) * spread + 1 for size, spread in zip(kernel, dilation, strict=True)]
    if kind == "valid":
        return {"pads": [0] * (2 * len(spans))}
    if kind == "causal":
        return {"pads": [spans[0] - 1, 0]}
    totals = []
    for place, span, stride in zip(_places(step), spans, strides, strict=True):
        if place is None and stride > 1:
            step.require(not any(spread > 1 for spread in dilation), "strides and dilation on a free side")
            return {"auto_pad": "SAME_UPPER"}
        covered = -(-place // stride) * stride - stride + span - place if place else span - 1
        totals.append(max(covered, 0))
    return {"pads": [total // 2 for total in totals] + [total - total // 2 for total in totals]}


def _convolved(step: Step, value: str, kernel: Array, name: str, bias: str, groups: int) -> str:
    """Returns the convolution of a value of channels first, `kernel` being (output, input of a group, places ...)."""
    sides = step.rank - 2
    strides = _each_side(step.config["strides"], sides)
    dilation = _each_side(step.config.get("dilation_rate", 1), sides)
    return step.graph.op(
        "Conv",
        value,
        step.weight(name, kernel),
        *([bias] if bias else []),
        strides=strides,
        dilations=dilation,
        group=groups,
        kernel_shape=kernel.shape[2:],
        **_padding(step, kernel.shape[2:], strides, dilation),
    )


def _bias(step: Step) -> str:
    return step.weight("bias") if step.config.get("use_bias", True) else ""


def _finished(step: Step, value: str) -> str:
    return activated(step, as_keras_has_it(step, value, step.rank), step.rank)


def _convolution(step: Step) -> str:
    kernel = np.moveaxis(step.array("kernel"), (-1, -2), (0, 1))
    return _finished(step, _convolved(step, first(step), kernel, "kernel", _bias(step), step.config.get("groups", 1)))


def _depthwise_kernel(kernel: Array) -> Array:
    """Returns a kernel of (places ..., channels, factor) as one of (channels * factor, 1, places ...)."""
    flat = kernel.reshape(*kernel.shape[:-2], 1, -1)
    return np.moveaxis(flat, (-1, -2), (0, 1))


def _depthwise(step: Step) -> str:
    kernel = step.array("kernel")
    turned = _depthwise_kernel(kernel)
    return _finished(step, _convolved(step, first(step), turned, "kernel", _bias(step), kernel.shape[-2]))


def _separable(step: Step) -> str:
    depthwise = step.array("depthwise_kernel")
    between = _convolved(step, first(step), _depthwise_kernel(depthwise), "depthwise_kernel", "", depthwise.shape[-2])
    pointwise = step.weight("pointwise_kernel", np.moveaxis(step.array("pointwise_kernel"), (-1, -2), (0, 1)))
    return _finished(step, step.graph.op("Conv", between, pointwise, *([_bias(step)] if _bias(step) else [])))


def _transposed(step: Step) -> str:
    config, sides = step.config, step.rank - 2
    kernel = step.array("kernel")
    sizes, strides = kernel.shape[:-2], _each_side(config["strides"], sides)
    step.require(
        set(_each_side(config.get("dilation_rate", 1), sides)) == {1}, "a dilation of a transposed convolution"
    )
    step.require(config.get("output_padding") is None, "output_padding")
    crop = [
        max(size - stride, 0) if config["padding"] == "same" else 0 for size, stride in zip(sizes, strides, strict=True)
    ]
    made = step.graph.op(
        "ConvTranspose",
        first(step),
        step.weight("kernel", np.moveaxis(kernel, (-1, -2), (0, 1))),
        *([_bias(step)] if _bias(step) else []),
        strides=strides,
        kernel_shape=sizes,
        pads=[total // 2 for total in crop] + [total - total // 2 for total in crop],
        output_padding=[max(stride - size, 0) for size, stride in zip(sizes, strides, strict=True)],
    )
    return _finished(step, made)


def _spectrogram(step: Step) -> str:
    config = step.config
    step.require(config["mode"] in ("log", "magnitude"), f"the mode {config['mode']}")
    step.require(not config.get("expand_dims"), "an axis for the frequencies")
    real, imaginary = (_transformed(step, name) for name in ("real_kernel", "imag_kernel"))
    squares = [step.graph.op("Mul", part, part) for part in (real, imaginary)]
    smallest = step.graph.constant(keras.config.epsilon())
    made = step.graph.op("Sqrt", step.graph.op("Max", step.graph.op("Add", *squares), smallest))
    if config["mode"] == "log":
        made = step.graph.op("Log", step.graph.op("Max", made, smallest))
    return as_keras_has_it(step, made, step.rank)


def _transformed(step: Step, name: str) -> str:
    """Returns a part of the transform, of each channel by itself: the frequencies of the first channel come first."""
    kernel = step.array(name)
    channels = step.shape[1] if _is_first(step) else step.shape[-1]
    step.require(channels is not None, "a free number of channels")
    frame, strides = kernel.shape[:1], [int(step.config["frame_step"] or kernel.shape[0] // 2)]
    return step.graph.op(
        "Conv",
        first(step),
        step.weight(name, np.tile(np.moveaxis(kernel, (-1, -2), (0, 1)), (channels or 1, 1, 1))),
        strides=strides,
        group=channels,
        kernel_shape=frame,
        **_padding(step, frame, strides, [1]),
    )


def _pooling(kind: str, **attributes: Any) -> Callable[[Step], str]:
    def write(step: Step) -> str:
        sides = step.rank - 2
        kernel = _each_side(step.config["pool_size"], sides)
        strides = _each_side(step.config.get("strides") or kernel, sides)
        padding = _padding(step, kernel, strides, [1] * sides)
        made = step.graph.op(kind, first(step), kernel_shape=kernel, strides=strides, **padding, **attributes)
        return as_keras_has_it(step, made, step.rank)

    return write


def _global(kind: str) -> Callable[[Step], str]:
    def write(step: Step) -> str:
        axes = step.graph.constant(list(range(2, step.rank)), "int64")
        keeps = bool(step.config.get("keepdims", False))
        made = step.graph.op(kind, first(step), axes, keepdims=int(keeps))
        return as_keras_has_it(step, made, step.rank) if keeps else made

    return write


WRITERS: dict[str, Callable[[Step], str]] = {
    **{f"Conv{n}D": _convolution for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}D": _depthwise for n in (1, 2)},
    **{f"SeparableConv{n}D": _separable for n in (1, 2)},
    **{f"Conv{n}DTranspose": _transposed for n in (1, 2, 3)},
    "STFTSpectrogram": _spectrogram,
    **{f"MaxPooling{n}D": _pooling("MaxPool") for n in (1, 2, 3)},
    **{f"AveragePooling{n}D": _pooling("AveragePool", count_include_pad=0) for n in (1, 2, 3)},
    **{f"GlobalMaxPooling{n}D": _global("ReduceMax") for n in (1, 2, 3)},
    **{f"GlobalAveragePooling{n}D": _global("ReduceMean") for n in (1, 2, 3)},
}
