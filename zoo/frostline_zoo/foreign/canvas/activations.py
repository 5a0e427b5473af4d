"""Functions of one number each, and of several tensors number by number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.held import Constant, Held, UnsayableError, as_is

_NEVER_NEGATIVE = {"sigmoid", "softplus", "exponential", "hard_sigmoid"}


def relu(canvas: Canvas, name: str, x: Held, **config: float) -> Held:
    """Returns x where it is positive; `config` is Keras's of ReLU."""
    return canvas.layer(name, "ReLU", x, dict(config), never_negative=not config.get("negative_slope"))


def activated(canvas: Canvas, name: str, x: Held, activation: str) -> Held:
    """Returns one of Keras's activations by its name."""
    config = {"activation": activation}
    return canvas.layer(name, "Activation", x, config, never_negative=activation in _NEVER_NEGATIVE)


def scaled(canvas: Canvas, name: str, x: Held, scale: float, offset: float = 0.0) -> Held:
    """Returns x * scale + offset."""
    if (scale, offset) == (1.0, 0.0):
        return x
    return canvas.layer(name, "Rescaling", x, {"scale": scale, "offset": offset})


def clipped(canvas: Canvas, name: str, x: Held, low: float, high: float) -> Held:
    """Returns x within two bounds, which may be infinite."""
    if low == 0:
        return relu(canvas, name, x, **({} if math.isinf(high) else {"max_value": high}))
    if (low, high) == (-1, 1):
        return activated(canvas, name, x, "hard_tanh")
    if math.isinf(low) and math.isinf(high):
        return x
    if math.isinf(low):
        turned = scaled(canvas, f"{name}_turned", x, -1.0, high)
        return scaled(canvas, name, relu(canvas, f"{name}_relu", turned), -1.0, high)
    shifted = scaled(canvas, f"{name}_shifted", x, 1.0, -low)
    cut = relu(canvas, f"{name}_relu", shifted, **({} if math.isinf(high) else {"max_value": high - low}))
    return scaled(canvas, name, cut, 1.0, low)


def hard_sigmoid(canvas: Canvas, name: str, x: Held, alpha: float, beta: float) -> Held:
    """Returns x * alpha + beta within 0 and 1."""
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return activated(canvas, name, x, "hard_sigmoid")
    return clipped(canvas, name, scaled(canvas, f"{name}_scaled", x, alpha, beta), 0.0, 1.0)


def gelu_by_tanh(canvas: Canvas, name: str, x: Held) -> Held:
    """Returns x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x³))). Source: arXiv:1606.08415, section 2."""
    cube = scaled(canvas, f"{name}_cube", merged(canvas, f"{name}_cubed", "Multiply", [x, x, x]), 0.044715)
    inner = merged(canvas, f"{name}_sum", "Add", [x, cube])
    gate = activated(canvas, f"{name}_tanh", scaled(canvas, f"{name}_inner", inner, math.sqrt(2 / math.pi)), "tanh")
    return merged(canvas, name, "Multiply", [x, scaled(canvas, f"{name}_gate", gate, 0.5, 0.5)])


def softmax(canvas: Canvas, name: str, x: Held, axes: list[int]) -> Held:
    """Returns x as shares of one along some of its axes."""
    places = sorted(x.place(x.example_axis(axis)) for axis in axes)
    config: dict[str, Any] = {"axis": places[0] if len(places) == 1 else places}
    if config["axis"] == x.rank - 1:
        config["axis"] = -1
    return canvas.layer(name, "Softmax", x, config, never_negative=True)


def log_softmax(canvas: Canvas, name: str, x: Held, axis: int) -> Held:
    """Returns the logarithm of `softmax` along one axis."""
    axis = x.example_axis(axis)
    others = [each for each in x.order[1:] if each != axis]
    return activated(canvas, name, canvas.held(x, (x.batch_axis, *others, axis)), "log_softmax")


def prelu(canvas: Canvas, name: str, x: Held, slope: Constant) -> Held:
    """Returns x, multiplied where it is negative by a slope that trains."""
    array = slope.array
    if array.ndim > x.rank:
        raise UnsayableError(f"has a slope of shape {array.shape} for a tensor of rank {x.rank}")
    spread = array.reshape((1,) * (x.rank - array.ndim) + array.shape)
    if spread.shape[x.batch_axis] != 1 or any(
        side not in (1, own) for side, own in zip(spread.shape, x.shape, strict=True)
    ):
        raise UnsayableError(f"has a slope of shape {array.shape} for a tensor of another")
    moved = np.transpose(spread, x.order)[0]
    shared = [place for place in range(1, x.rank) if moved.shape[place - 1] == 1]
    weights = {"alpha": Constant(moved, slope.sources)}
    return canvas.layer(name, "PReLU", x, {"shared_axes": shared or None}, weights=weights)


def merged(canvas: Canvas, name: str, class_name: str, tensors: list[Held]) -> Held:
    """Returns tensors put together number by number; a side of one is repeated."""
    rank = tensors[0].rank
    if any(each.rank != rank for each in tensors):
        raise UnsayableError("puts tensors of different rank together")
    leader = max(tensors, key=lambda each: math.prod(side or 1 for side in each.shape))
    tensors = [canvas.held(each, leader.order) for each in tensors]
    shape = []
    for axis in as_is(rank):
        sides = {each.shape[axis] for each in tensors} - {1}
        if len(sides) > 1:
            raise UnsayableError("puts tensors of different shapes together")
        shape.append(sides.pop() if sides else 1)
    never_negative = class_name in ("Add", "Multiply", "Maximum", "Minimum", "Average")
    never_negative = never_negative and all(each.never_negative for each in tensors)
    return canvas.layer(name, class_name, tensors, shape=tuple(shape), never_negative=never_negative)
