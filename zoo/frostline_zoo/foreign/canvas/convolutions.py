"""Convolutions and dense layers, their kernels brought from channels first to Keras's layouts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.held import Constant, Held, UnsayableError, as_is, channels_last
from frostline_zoo.foreign.canvas.windows import Sides, Window, subsampled, zero_padded

_MOST_SPATIAL_AXES = 3


def convolved(
    canvas: Canvas, name: str, x: Held, kernel: Constant, bias: Constant | None, window: Window, groups: int
) -> Held:
    """Returns a convolution.

    Args:
        canvas: where it is drawn.
        name: the layer's.
        x: (batch, channels, ...).
        kernel: (filters, channels / groups, ...).
        bias: (filters,).
        window: how it slides.
        groups: of channels.
    """
    rank = len(window.size)
    _check_kernel(x, kernel, rank)
    filters, per_group = kernel.array.shape[:2]
    channels = x.shape[1]
    if channels != per_group * groups or groups < 1 or filters % groups:
        raise UnsayableError(f"has a kernel of shape {kernel.array.shape} in {groups} groups for {channels} channels")
    x = canvas.held(x, channels_last(x.rank))
    strides = window.strides
    if max(strides) > 1 and max(window.dilations) > 1:  # which TensorFlow does not do at once
        window = replace(window, strides=(1,) * rank)
    later = tuple(asked // done for asked, done in zip(strides, window.strides, strict=True))
    padding = "same" if window.padded and window.is_same(x.shape[2:]) else "valid"
    places = window.places(x.shape[2:])
    if padding == "valid":
        x = zero_padded(canvas, name, x, window.begins, window.ends)
    config: dict[str, Any] = {
        "kernel_size": list(window.size),
        "strides": list(window.strides),
        "padding": padding,
        "dilation_rate": list(window.dilations),
        "use_bias": bias is not None,
    }
    deep = groups == channels and groups > 1 and rank < _MOST_SPATIAL_AXES and len(set(window.strides)) == 1
    if deep:
        config["depth_multiplier"] = filters // groups
        array = np.moveaxis(kernel.array.reshape(groups, filters // groups, *window.size), (0, 1), (-2, -1))
    else:
        config |= {"filters": filters, "groups": groups}
        array = np.moveaxis(kernel.array, (1, 0), (-2, -1))
    weights = {"kernel": replace(kernel, array=array)} | ({} if bias is None else {"bias": _flat(bias, filters)})
    class_name = f"{'Depthwise' if deep else ''}Conv{rank}D"
    shape = (x.shape[0], filters, *places)
    made = canvas.layer(name, class_name, x, config, shape=shape, weights=weights)
    return subsampled(canvas, name, made, later)


def transposed_convolution(
    canvas: Canvas,
    name: str,
    x: Held,
    kernel: Constant,
    bias: Constant | None,
    window: Window,
    output_padding: Sides,
    groups: int,
) -> Held:
    """Returns a transposed convolution; `kernel` is (channels, filters, ...)."""
    rank = len(window.size)
    _check_kernel(x, kernel, rank)
    if groups != 1 or max(window.dilations) > 1:
        raise UnsayableError("is in groups or dilated, which Keras's transposed convolution is not")
    channels, filters = kernel.array.shape[:2]
    if x.shape[1] != channels:
        raise UnsayableError(f"has a kernel of shape {kernel.array.shape} for {x.shape[1]} channels")
    x = canvas.held(x, channels_last(x.rank))
    full = tuple(
        None if side is None else side * stride + max(size - stride, 0)
        for side, size, stride in zip(x.shape[2:], window.size, window.strides, strict=True)
    )
    ends = tuple(
        end - extra + max(stride - size, 0)
        for end, extra, stride, size in zip(window.ends, output_padding, window.strides, window.size, strict=True)
    )
    if min(*window.begins, *ends) < 0:
        raise UnsayableError("pads its output by more than its window covers")
    config = {
        "filters": filters,
        "kernel_size": list(window.size),
        "strides": list(window.strides),
        "padding": "valid",
        "use_bias": bias is not None,
    }
    weights = {"kernel": replace(kernel, array=np.moveaxis(kernel.array, (1, 0), (-2, -1)))}
    weights |= {} if bias is None else {"bias": _flat(bias, filters)}
    shape = (x.shape[0], filters, *full)
    made = canvas.layer(name, f"Conv{rank}DTranspose", x, config, shape=shape, weights=weights)
    return zero_padded(canvas, name, made, tuple(-b for b in window.begins), tuple(-e for e in ends))


def dense(canvas: Canvas, name: str, x: Held, axis: int, kernel: Constant, bias: Constant | None) -> Held:
    """Returns x with one axis multiplied by a kernel (inputs, units), and a bias (units,) added to it."""
    axis = x.example_axis(axis)
    inputs, units = kernel.array.shape
    if x.shape[axis] != inputs:
        raise UnsayableError(f"has a kernel of shape {kernel.array.shape} for {x.shape[axis]} numbers")
    if x.order[-1] != axis:
        others = [each for each in as_is(x.rank) if each not in (axis, x.batch_axis)]
        x = canvas.held(x, (x.batch_axis, *others, axis))
    weights = {"kernel": kernel} | ({} if bias is None else {"bias": _flat(bias, units)})
    shape = tuple(units if each == axis else side for each, side in enumerate(x.shape))
    return canvas.layer(name, "Dense", x, {"units": units, "use_bias": bias is not None}, shape=shape, weights=weights)


def _check_kernel(x: Held, kernel: Constant, rank: int) -> None:
    if rank > _MOST_SPATIAL_AXES or x.rank != rank + 2 or kernel.array.ndim != rank + 2 or x.batch_axis != 0:
        raise UnsayableError(f"has a kernel of rank {kernel.array.ndim} for a tensor of rank {x.rank}")


def _flat(bias: Constant, units: int) -> Constant:
    if bias.array.size == 1 and units > 1:
        return replace(bias, array=np.full(units, bias.array.reshape(())))
    if bias.array.size != units:
        raise UnsayableError(f"has a bias of shape {bias.array.shape} for {units} units")
    return replace(bias, array=bias.array.reshape(units))
