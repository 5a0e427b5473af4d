"""Arithmetic on constants, done while the file is read: shapes above all, which exports compute node by node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from frostline_zoo.foreign.canvas.held import Constant, UnsayableError, product
from frostline_zoo.foreign.onnx_graph.graph import Node
from frostline_zoo.foreign.onnx_graph.tensors import DTYPES
from frostline_zoo.tensors import Array

MAX_FOLDED_ELEMENTS = 1 << 24
Inputs = list[Array]
Fold = Callable[[Node, list[Any]], Any]


def folded(node: Node, inputs: list[Constant | None]) -> list[Constant] | None:
    """Returns what a node makes of constants alone; None where it is none of those that are folded.

    A side of a shape that is free is None in an array of objects; arithmetic on it is refused.
    """
    fold = FOLDS.get(node.op_type)
    if fold is None:
        return None
    arrays = [None if each is None else each.array for each in inputs]
    sources = tuple(name for each in inputs if each is not None for name in each.sources)
    if sum(each.size for each in arrays if each is not None) > MAX_FOLDED_ELEMENTS and node.op_type not in _VIEWS:
        raise UnsayableError("computes too much from constants")
    try:
        with np.errstate(all="ignore"):
            made = fold(node, arrays)
    except (TypeError, ValueError, IndexError, KeyError, ZeroDivisionError) as error:
        raise UnsayableError("computes what cannot be from constants, or from a side that is free") from error
    return [Constant(np.asarray(each), sources) for each in (made if isinstance(made, list) else [made])]


def ints_of(array: Array | None) -> list[int]:
    """Returns whole numbers, where all are known."""
    if array is None:
        return []
    if any(each is None for each in array.reshape(-1).tolist()):
        raise UnsayableError("needs the size of a side that is free: export the network for one input size")
    return [int(each) for each in array.reshape(-1)]


def axes_of(node: Node, inputs: list[Any], at: int = 1) -> list[int] | None:
    """Returns the axes a node names, as an attribute or, in newer opsets, as an input."""
    if "axes" in node.attributes:
        return list(node.attributes["axes"])
    return ints_of(inputs[at]) if len(inputs) > at and inputs[at] is not None else None


def _bounded(shape: list[int]) -> list[int]:
    if any(side < 0 for side in shape) or product(shape) > MAX_FOLDED_ELEMENTS:
        raise UnsayableError("makes a constant that is too large")
    return shape


def _constant(node: Node, _: Inputs) -> Any:
    for key, dtype in (("value_float", "f4"), ("value_floats", "f4"), ("value_int", "i8"), ("value_ints", "i8")):
        if key in node.attributes:
            return np.array(node.attributes[key], dtype)
    return node.attributes["value"].array


def _constant_of_shape(node: Node, inputs: Inputs) -> Any:
    value = node.attributes["value"].array.reshape(-1)[0] if "value" in node.attributes else np.float32(0)
    return np.full(_bounded(ints_of(inputs[0])), value)


def _cast(node: Node, inputs: Inputs) -> Any:
    return inputs[0] if inputs[0].dtype == object else inputs[0].astype(DTYPES[node.attributes["to"]])


def _unsqueeze(node: Node, inputs: Inputs) -> Any:
    return np.expand_dims(inputs[0], tuple(axes_of(node, inputs) or ()))


def _squeeze(node: Node, inputs: Inputs) -> Any:
    axes = axes_of(node, inputs)
    return np.squeeze(inputs[0], None if axes is None else tuple(axes))


def _reshape(node: Node, inputs: Inputs) -> Any:
    target = ints_of(inputs[1])
    if not node.attributes.get("allowzero"):
        target = [inputs[0].shape[at] if side == 0 else side for at, side in enumerate(target)]
    return inputs[0].reshape(target)


def _slice(node: Node, inputs: Inputs) -> Any:
    spans = spans_of(node, inputs, inputs[0].ndim)
    index = [slice(None)] * inputs[0].ndim
    for axis, start, stop, step in spans:
        index[axis] = slice(start, stop if stop >= -inputs[0].shape[axis] else None, step)
    return inputs[0][tuple(index)]


def spans_of(node: Node, inputs: list[Any], rank: int) -> list[tuple[int, int, int, int]]:
    """Returns (axis, start, stop, step) of each span that a Slice takes."""
    if "starts" in node.attributes:
        starts, stops = node.attributes["starts"], node.attributes["ends"]
        axes, steps = node.attributes.get("axes"), None
    else:
        starts, stops = ints_of(inputs[1]), ints_of(inputs[2])
        axes = ints_of(inputs[3]) if len(inputs) > 3 and inputs[3] is not None else None
        steps = ints_of(inputs[4]) if len(inputs) > 4 and inputs[4] is not None else None
    axes = list(range(len(starts))) if axes is None else [axis % rank for axis in axes]
    return list(zip(axes, starts, stops, steps or [1] * len(starts), strict=True))


def _dequantized(node: Node, inputs: Inputs) -> Any:
    x, scale = inputs[0], inputs[1]
    zero = inputs[2] if len(inputs) > 2 and inputs[2] is not None else np.zeros_like(scale, x.dtype)
    if scale.size > 1:
        sides = [-1 if axis == node.attributes.get("axis", 1) % x.ndim else 1 for axis in range(x.ndim)]
        scale, zero = scale.reshape(sides), zero.reshape(sides)
    return ((x.astype(np.int64) - zero.astype(np.int64)).astype(np.float32) * scale).astype(np.float32)


def _divided(first: Array, second: Array) -> Array:
    if first.dtype.kind in "iu":
        return np.trunc(first / second).astype(first.dtype)
    return first / second


def _range(_: Node, inputs: Inputs) -> Any:
    start, limit, delta = (each.reshape(()).item() for each in inputs)
    if not abs(limit - start) <= abs(delta) * MAX_FOLDED_ELEMENTS:
        raise UnsayableError("makes a constant that is too large")
    made: Array = np.arange(start, limit, delta)
    return made.astype(inputs[0].dtype)


def _expand(_: Node, inputs: Inputs) -> Any:
    shape = np.broadcast_shapes(inputs[0].shape, tuple(_bounded(ints_of(inputs[1]))))
    return np.broadcast_to(inputs[0], _bounded(list(shape)))


def _reduced(function: Any) -> Fold:
    def fold(node: Node, inputs: list[Any]) -> Any:
        axes = axes_of(node, inputs)
        keep = bool(node.attributes.get("keepdims", 1))
        return function(inputs[0], axis=None if axes is None else tuple(axes), keepdims=keep)

    return fold


def _plain(function: Any) -> Fold:
    return lambda _, inputs: function(*inputs)


def _broadcast(function: Any) -> Fold:
    def fold(_: Node, inputs: list[Any]) -> Any:
        _bounded(list(np.broadcast_shapes(*(each.shape for each in inputs))))
        return function(*inputs)

    return fold


_VIEWS = {"Identity", "Constant", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Cast", "Flatten", "DequantizeLinear"}
FOLDS: dict[str, Fold] = {
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Identity": _plain(lambda x: x),
    "Cast": _cast,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "Flatten": lambda node, inputs: inputs[0].reshape(product(inputs[0].shape[: node.attributes.get("axis", 1)]), -1),
    "Transpose": lambda node, inputs: inputs[0].transpose(node.attributes.get("perm")),
    "Gather": lambda node, inputs: np.take(inputs[0], inputs[1].astype(np.int64), node.attributes.get("axis", 0)),
    "Concat": lambda node, inputs: np.concatenate(inputs, node.attributes["axis"]),
    "Slice": _slice,
    "DequantizeLinear": _dequantized,
    "Range": _range,
    "Expand": _expand,
    "Shape": lambda node, inputs: np.array(
        inputs[0].shape[node.attributes.get("start", 0) : node.attributes.get("end")], np.int64
    ),
    "Size": lambda _, inputs: np.array(inputs[0].size, np.int64),
    "Add": _broadcast(np.add),
    "Sub": _broadcast(np.subtract),
    "Mul": _broadcast(np.multiply),
    "Div": _broadcast(_divided),
    "Mod": _broadcast(np.mod),
    "Pow": _broadcast(lambda x, power: np.power(x, power).astype(x.dtype)),
    "Equal": _broadcast(np.equal),
    "Less": _broadcast(np.less),
    "Greater": _broadcast(np.greater),
    "Where": _broadcast(np.where),
    "Max": _broadcast(lambda *each: np.maximum.reduce(np.broadcast_arrays(*each))),
    "Min": _broadcast(lambda *each: np.minimum.reduce(np.broadcast_arrays(*each))),
    "Not": _plain(np.logical_not),
    "Neg": _plain(np.negative),
    "Abs": _plain(np.abs),
    "Sqrt": _plain(np.sqrt),
    "Exp": _plain(np.exp),
    "Floor": _plain(np.floor),
    "Ceil": _plain(np.ceil),
    "Reciprocal": _plain(np.reciprocal),
    "ReduceProd": _reduced(np.prod),
    "ReduceSum": _reduced(np.sum),
    "ReduceMax": _reduced(np.max),
    "ReduceMin": _reduced(np.min),
}
