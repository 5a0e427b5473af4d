"""Operators with kernels: convolutions, matrix products, and pooling, which slides over its input as they do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from frostline_zoo.foreign.canvas.convolutions import convolved, dense, transposed_convolution
from frostline_zoo.foreign.canvas.held import Constant, Held, Side, UnsayableError
from frostline_zoo.foreign.canvas.pools import average_pooled, global_pooled, max_pooled, reaching_over
from frostline_zoo.foreign.canvas.windows import Sides, Window, same_pads
from frostline_zoo.foreign.onnx_graph.step import Step, operator
from frostline_zoo.tensors import Array


@operator("Conv")
def _conv(step: Step) -> Held:
    x, kernel = step.held(0), step.constant(1)
    window = _window(step, kernel.array.shape[2:], x.shape[2:])
    return convolved(step.canvas, step.label, x, kernel, step.optional(2), window, step.attribute("group", 1))


@operator("ConvTranspose")
def _conv_transpose(step: Step) -> Held:
    x, kernel = step.held(0), step.constant(1)
    size = tuple(kernel.array.shape[2:])
    rank = len(size)
    if step.attribute("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or step.attribute("output_shape"):
        raise UnsayableError("is padded by the shape of its output: export it with explicit pads")
    window = _window(step, size, x.shape[2:])
    more = tuple(step.attribute("output_padding", [0] * rank))
    if len(more) != rank:
        raise UnsayableError("pads its output along another number of axes")
    groups = step.attribute("group", 1)
    return transposed_convolution(step.canvas, step.label, x, kernel, step.optional(2), window, more, groups)


@operator("MaxPool")
def _max_pool(step: Step) -> Held:
    if len(step.node.outputs) > 1 and step.graph.uses[step.node.outputs[1]]:
        raise UnsayableError("puts out where each largest number was")
    x = step.held()
    window = _window(step, tuple(step.attribute("kernel_shape", ())), x.shape[2:])
    return max_pooled(step.canvas, step.label, x, window, _over(step, window, x.shape[2:]))


@operator("AveragePool")
def _average_pool(step: Step) -> Held:
    x = step.held()
    window = _window(step, tuple(step.attribute("kernel_shape", ())), x.shape[2:])
    counts = bool(step.attribute("count_include_pad", 0))
    return average_pooled(step.canvas, step.label, x, window, _over(step, window, x.shape[2:]), counts)


@operator("GlobalAveragePool")
def _global_average_pool(step: Step) -> Held:
    return global_pooled(step.canvas, step.label, step.held(), "Average")


@operator("GlobalMaxPool")
def _global_max_pool(step: Step) -> Held:
    return global_pooled(step.canvas, step.label, step.held(), "Max")


@operator("Gemm")
def _gemm(step: Step) -> Held:
    x, kernel, bias = step.held(0), step.constant(1), step.optional(2)
    if step.attribute("transA", 0) or x.rank != 2:
        raise UnsayableError("multiplies across examples")
    array = kernel.array.T if step.attribute("transB", 0) else kernel.array
    kernel = replace(kernel, array=_scaled(array, step.attribute("alpha", 1.0)))
    if bias is not None:
        bias = replace(bias, array=_scaled(bias.array, step.attribute("beta", 1.0)))
    return dense(step.canvas, step.label, x, 1, kernel, bias)


def _scaled(array: Array, factor: float) -> Array:
    return array if factor == 1 else array * np.float32(factor)  # large arrays stay where they are


@operator("MatMul")
def _matmul(step: Step) -> Held:
    first, second = step.values
    if isinstance(second, Constant) and isinstance(first, Held) and second.array.ndim == 2:
        return dense(step.canvas, step.label, first, -1, second, None)
    if isinstance(first, Constant) and isinstance(second, Held) and first.array.ndim == 2 and second.rank > 2:
        return dense(step.canvas, step.label, second, -2, replace(first, array=first.array.T), None)
    first, second = step.held(0), step.held(1)
    if first.rank != 3 or second.rank != 3:
        raise UnsayableError(f"multiplies tensors of rank {first.rank} and {second.rank} that are computed")
    first, second = (step.canvas.held(each, (0, 1, 2)) for each in (first, second))
    shape = (first.shape[0], first.shape[1], second.shape[2])
    return step.canvas.layer(step.label, "Dot", [first, second], {"axes": [2, 1]}, shape=shape)


def _over(step: Step, window: Window, sides: tuple[Side, ...]) -> Sides:
    return reaching_over(window, sides) if step.attribute("ceil_mode", 0) else (0,) * len(window.size)


def _window(step: Step, size: tuple[int, ...], sides: tuple[Side, ...]) -> Window:
    """Returns a node's window, its automatic padding made explicit."""
    rank = len(size)
    if len(sides) != rank or tuple(step.attribute("kernel_shape", size)) != size:
        raise UnsayableError(f"has a window of {rank} axes on a tensor with {len(sides)} spatial ones")
    ones = [1] * rank
    strides, dilations = (tuple(step.attribute(key, ones)) for key in ("strides", "dilations"))
    pads = step.attribute("pads", [0] * (2 * rank))
    if len(pads) != 2 * rank:
        raise UnsayableError("has pads for another number of axes than its window")
    window = Window(tuple(size), strides, dilations, tuple(pads[:rank]), tuple(pads[rank:]))
    auto = step.attribute("auto_pad", "NOTSET")
    if auto == "NOTSET":
        return window
    if auto == "VALID":
        return window.unpadded()
    found = [same_pads(*each) for each in zip(sides, window.reach, strides, strict=True)]
    if auto not in ("SAME_UPPER", "SAME_LOWER") or None in found:
        raise UnsayableError("is padded by a side that is free: export the network for one input size")
    begins, ends = zip(*(pair or (0, 0) for pair in found), strict=True)
    if auto == "SAME_LOWER":
        begins, ends = ends, begins
    return replace(window, begins=begins, ends=ends)
