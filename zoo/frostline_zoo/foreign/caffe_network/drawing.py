"""For each type of Caffe's layers, what Keras layers say it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from frostline_zoo.foreign.caffe_network.network import Layer
from frostline_zoo.foreign.caffe_network.prototxt import Message
from frostline_zoo.foreign.caffe_network.refusals import of_another_network
from frostline_zoo.foreign.canvas import activations, shapes
from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.constants import affine
from frostline_zoo.foreign.canvas.convolutions import convolved, dense, transposed_convolution
from frostline_zoo.foreign.canvas.held import Constant, Held, UnsayableError, product
from frostline_zoo.foreign.canvas.local_response import normalized_across_channels, normalized_within_channels
from frostline_zoo.foreign.canvas.norms import batch_normalized
from frostline_zoo.foreign.canvas.pools import average_pooled, global_pooled, max_pooled, reaching_over
from frostline_zoo.foreign.canvas.spans import sliced
from frostline_zoo.foreign.canvas.windows import Sides, Window


@dataclass(frozen=True)
class Step:
    """One layer while it is drawn: its inputs, its weights, and the layer of type Scale that ends its normalization."""

    canvas: Canvas
    layer: Layer
    tensors: tuple[Held, ...]
    blobs: tuple[Constant, ...]
    scale: Layer | None = None
    scale_blobs: tuple[Constant, ...] = ()

    @property
    def x(self) -> Held:
        """Its first input."""
        return self.tensors[0]

    def blob(self, at: int) -> Constant:
        """Returns one of its weights. Raises InvalidError."""
        if at >= len(self.blobs):
            had = f"has {len(self.blobs)} blobs of weights in the .caffemodel, too few for the .prototxt"
            raise of_another_network(self.layer.name, had)
        return self.blobs[at]


Draw = Callable[[Step], Held | list[Held]]
TYPES: dict[str, Draw] = {}


def drawn(*type_names: str) -> Callable[[Draw], Draw]:
    """Enters a function as what draws layers of some types."""

    def enter(function: Draw) -> Draw:
        TYPES.update(dict.fromkeys(type_names, function))
        return function

    return enter


@drawn("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution")
def _convolution(step: Step) -> Held:
    p = step.layer.parameters("convolution")
    filters, kernel = p.int("num_output", 0), step.blob(0)
    bias = step.blob(1) if p.bool("bias_term", True) else None
    groups = p.int("group", 1) if step.layer.type_name == "Convolution" else filters
    if kernel.array.shape[0] != filters:
        had = f"has {kernel.array.shape[0]} filters in the .caffemodel, and {filters} in the .prototxt"
        raise of_another_network(step.layer.name, had)
    window = _window(p, tuple(kernel.array.shape[2:]), p.ints("dilation"))
    return convolved(step.canvas, step.layer.name, step.x, kernel, bias, window, groups)


@drawn("Deconvolution")
def _deconvolution(step: Step) -> Held:
    p = step.layer.parameters("convolution")
    kernel = step.blob(0)
    bias = step.blob(1) if p.bool("bias_term", True) else None
    window = _window(p, tuple(kernel.array.shape[2:]), p.ints("dilation"))
    none = (0,) * len(window.size)
    return transposed_convolution(step.canvas, step.layer.name, step.x, kernel, bias, window, none, p.int("group", 1))


@drawn("Pooling")
def _pooling(step: Step) -> Held:
    p = step.layer.parameters("pooling")
    kind = {"MAX": "Max", "0": "Max", "AVE": "Average", "1": "Average"}.get(p.word("pool", "MAX"))
    if kind is None or len(step.layer.tops) > 1:
        raise UnsayableError("pools at random, or puts out where each largest number was")
    if p.bool("global_pooling", False):
        return global_pooled(step.canvas, step.layer.name, step.x, kind)
    sizes = p.ints("kernel_size") * 2
    size = (p.int("kernel_h", (sizes or [0])[0]), p.int("kernel_w", (sizes or [0])[0]))
    window = _window(p, size, [])
    rounds_up = p.word("round_mode", "CEIL") in ("CEIL", "0")
    over = reaching_over(window, step.x.shape[2:]) if rounds_up else (0, 0)
    if kind == "Max":
        return max_pooled(step.canvas, step.layer.name, step.x, window, over)
    return average_pooled(step.canvas, step.layer.name, step.x, window, over, padding_counts=True)


@drawn("InnerProduct")
def _inner_product(step: Step) -> Held:
    p = step.layer.parameters("inner_product")
    if step.x.axis(p.int("axis", 1)) != 1:
        raise UnsayableError("multiplies another axis than the first")
    sides = step.x.known()
    flat = shapes.reshaped(step.canvas, step.x, [sides[0], product(sides[1:])])
    kernel = step.blob(0)
    array = kernel.array.reshape(kernel.array.shape[-2:])
    array = array if p.bool("transpose", False) else array.T
    bias = step.blob(1) if p.bool("bias_term", True) else None
    return dense(step.canvas, step.layer.name, flat, 1, replace(kernel, array=array), bias)


@drawn("BatchNorm")
def _batch_norm(step: Step) -> Held:
    p = step.layer.parameters("batch_norm")
    mean, variance, factor = (step.blob(at) for at in range(3))
    by = float(factor.array.reshape(-1)[0])
    by = 0.0 if by == 0 else 1 / by
    weights = {}
    if step.scale is not None:
        if not step.scale_blobs:
            raise UnsayableError(f"has no weights for its scale {step.scale.name[:80]!r}")
        gamma = step.scale_blobs[0]
        weights["gamma"] = replace(gamma, array=gamma.array.reshape(-1))
        if len(step.scale_blobs) > 1:
            weights["beta"] = replace(step.scale_blobs[1], array=step.scale_blobs[1].array.reshape(-1))
    sources = factor.sources
    weights["moving_mean"] = Constant(mean.array.reshape(-1) * np.float32(by), (*mean.sources, *sources))
    weights["moving_variance"] = Constant(variance.array.reshape(-1) * np.float32(by), (*variance.sources, *sources))
    momentum = p.float("moving_average_fraction", 0.999)
    return batch_normalized(step.canvas, step.layer.name, step.x, weights, p.float("eps", 1e-5), momentum)


@drawn("Scale", "Bias")
def _scale(step: Step) -> Held:
    p = step.layer.parameters(step.layer.type_name.lower())
    axis, is_scale = step.x.axis(p.int("axis", 1)), step.layer.type_name == "Scale"
    if len(step.tensors) == 2:
        second = step.tensors[1]
        new = [*range(axis), *range(axis + second.rank, step.x.rank)]
        second = shapes.unsqueezed(step.canvas, second, new) if new else second
        return activations.merged(step.canvas, step.layer.name, "Multiply" if is_scale else "Add", [step.x, second])
    spread = []
    for blob in step.blobs:
        sides = [*blob.array.shape, *(1,) * (step.x.rank - axis - blob.array.ndim)]
        spread.append(replace(blob, array=blob.array.reshape(sides)))
    if not spread:
        raise UnsayableError("has no blobs of weights in the .caffemodel")
    if not is_scale:
        return affine(step.canvas, step.layer.name, step.x, None, spread[0])
    return affine(step.canvas, step.layer.name, step.x, spread[0], spread[1] if len(spread) > 1 else None)


@drawn("ReLU")
def _relu(step: Step) -> Held:
    slope = step.layer.parameters("relu").float("negative_slope", 0.0)
    if slope:
        return step.canvas.layer(step.layer.name, "LeakyReLU", step.x, {"negative_slope": slope})
    return activations.relu(step.canvas, step.layer.name, step.x)


@drawn("ReLU6")
def _relu6(step: Step) -> Held:
    return activations.relu(step.canvas, step.layer.name, step.x, max_value=6.0)


@drawn("PReLU")
def _prelu(step: Step) -> Held:
    slope = step.blob(0)
    sides = [slope.array.size, *(1,) * (step.x.rank - 2)]
    return activations.prelu(step.canvas, step.layer.name, step.x, replace(slope, array=slope.array.reshape(sides)))


@drawn("ELU")
def _elu(step: Step) -> Held:
    config = {"alpha": step.layer.parameters("elu").float("alpha", 1.0)}
    return step.canvas.layer(step.layer.name, "ELU", step.x, config)


_ACTIVATIONS = {"Sigmoid": "sigmoid", "TanH": "tanh", "BNLL": "softplus", "Swish": "silu"}


@drawn(*_ACTIVATIONS)
def _activation(step: Step) -> Held:
    if step.layer.parameters("swish").float("beta", 1.0) != 1.0:
        raise UnsayableError("has another beta than 1")
    return activations.activated(step.canvas, step.layer.name, step.x, _ACTIVATIONS[step.layer.type_name])


@drawn("AbsVal")
def _abs(step: Step) -> Held:
    negative = activations.scaled(step.canvas, f"{step.layer.name}_negative", step.x, -1.0)
    return activations.merged(step.canvas, step.layer.name, "Maximum", [step.x, negative])


@drawn("Power")
def _power(step: Step) -> Held:
    p = step.layer.parameters("power")
    power = p.float("power", 1.0)
    if power not in (1, 2, 3, 4):
        raise UnsayableError(f"takes the power {power:g}")
    name = step.layer.name if power == 1 else f"{step.layer.name}_scaled"
    x = activations.scaled(step.canvas, name, step.x, p.float("scale", 1.0), p.float("shift", 0.0))
    return x if power == 1 else activations.merged(step.canvas, step.layer.name, "Multiply", [x] * int(power))


@drawn("Softmax")
def _softmax(step: Step) -> Held:
    axis = step.layer.parameters("softmax").int("axis", 1)
    return activations.softmax(step.canvas, step.layer.name, step.x, [axis])


@drawn("Concat")
def _concat(step: Step) -> Held:
    p = step.layer.parameters("concat")
    axis = p.int("axis", p.int("concat_dim", 1))
    return shapes.joined(step.canvas, step.layer.name, list(step.tensors), axis)


@drawn("Eltwise")
def _eltwise(step: Step) -> Held:
    p = step.layer.parameters("eltwise")
    kinds = {"PROD": "Multiply", "0": "Multiply", "SUM": "Add", "1": "Add", "MAX": "Maximum", "2": "Maximum"}
    kind = kinds.get(p.word("operation", "SUM"))
    factors = [float(each) for each in p.words("coeff")]
    if kind is None or (factors and (len(factors) != len(step.tensors) or kind != "Add")):
        raise UnsayableError("puts its inputs together in an unknown way")
    tensors = [
        activations.scaled(step.canvas, f"{step.layer.name}_{at}", each, factor)
        for at, (each, factor) in enumerate(zip(step.tensors, factors or [1.0] * len(step.tensors), strict=True))
    ]
    return activations.merged(step.canvas, step.layer.name, kind, tensors)


@drawn("Dropout")
def _dropout(step: Step) -> Held:
    rate = step.layer.parameters("dropout").float("dropout_ratio", 0.5)
    never_negative = step.x.never_negative
    return step.canvas.layer(step.layer.name, "Dropout", step.x, {"rate": rate}, never_negative=never_negative)


@drawn("Flatten")
def _flatten(step: Step) -> Held:
    p = step.layer.parameters("flatten")
    first, last = step.x.axis(p.int("axis", 1)), step.x.axis(p.int("end_axis", -1))
    sides = list(step.x.known())
    target = [*sides[:first], product(sides[first : last + 1]), *sides[last + 1 :]]
    return shapes.reshaped(step.canvas, step.x, target)


@drawn("Reshape")
def _reshape(step: Step) -> Held:
    p = step.layer.parameters("reshape")
    if p.int("axis", 0) or p.int("num_axes", -1) != -1:
        raise UnsayableError("reshapes some of its axes alone")
    sides = step.x.known()
    given = p.message("shape").ints("dim")
    target = [sides[at] if side == 0 and at < len(sides) else side for at, side in enumerate(given)]
    return shapes.reshaped(step.canvas, step.x, target)


@drawn("Permute")
def _permute(step: Step) -> Held:
    order = step.layer.parameters("permute").ints("order")
    rest = [axis for axis in range(step.x.rank) if axis not in order]
    return shapes.transposed(step.x, [*order, *rest])


@drawn("Split")
def _split(step: Step) -> list[Held]:
    return [step.x] * len(step.layer.tops)


@drawn("Slice")
def _slice(step: Step) -> list[Held]:
    p = step.layer.parameters("slice")
    axis = step.x.example_axis(p.int("axis", p.int("slice_dim", 1)))
    side = step.x.known()[axis]
    parts = len(step.layer.tops)
    points = p.ints("slice_point") or [side * at // parts for at in range(1, parts)]
    ends = [0, *points, side]
    if len(ends) != parts + 1:
        raise UnsayableError("is cut into another number of parts than it has outputs")
    return [
        sliced(step.canvas, f"{step.layer.name}_{at}", step.x, axis, start, stop, 1)
        for at, (start, stop) in enumerate(pairwise(ends))
    ]


@drawn("ShuffleChannel")
def _shuffle(step: Step) -> Held:
    groups = step.layer.parameters("shuffle_channel").int("group", 1)
    batch, channels, *rest = step.x.known()
    split = shapes.reshaped(step.canvas, step.x, [batch, groups, channels // groups, *rest])
    moved = shapes.transposed(split, [0, 2, 1, *range(3, 3 + len(rest))])
    return shapes.reshaped(step.canvas, moved, [batch, channels, *rest])


@drawn("LRN")
def _lrn(step: Step) -> Held:
    p = step.layer.parameters("lrn")
    size, alpha, beta = p.int("local_size", 5), p.float("alpha", 1.0), p.float("beta", 0.75)
    if size % 2 == 0:
        raise UnsayableError("has an even local_size, which Caffe has not")
    region = p.word("norm_region", "ACROSS_CHANNELS")
    if region in ("ACROSS_CHANNELS", "0"):
        return normalized_across_channels(step.canvas, step.layer.name, step.x, size, alpha, beta, p.float("k", 1.0))
    if region in ("WITHIN_CHANNEL", "1"):
        return normalized_within_channels(step.canvas, step.layer.name, step.x, size, alpha, beta)
    raise UnsayableError("normalizes over an unknown region")


def _window(p: Message, size: Sides, dilations: list[int]) -> Window:
    """Returns a window over height and width; a number that is given once holds for both."""

    def both(key: str, default: int) -> Sides:
        given = p.ints(key) or p.ints(f"{key}_size") or [default]
        pair = given if len(given) == len(size) else given[:1] * len(size)
        if len(size) == 2:
            pair = [p.int(f"{key}_h", pair[0]), p.int(f"{key}_w", pair[1])]
        return tuple(pair)

    pads = both("pad", 0)
    gaps = tuple(dilations if len(dilations) == len(size) else (dilations or [1])[:1] * len(size))
    if math.prod(size) == 0:
        raise UnsayableError("has no window")
    return Window(size, both("stride", 1), gaps, pads, pads)
