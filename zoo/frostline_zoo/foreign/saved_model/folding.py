"""Arithmetic on what is known before any example: variables' numbers, constants, and sides of shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from frostline_zoo.foreign.saved_model.bundle import DTYPES
from frostline_zoo.foreign.saved_model.graph import Node, bad_graph
from frostline_zoo.foreign.saved_model.values import MAX_FOLDED, Known, flag, sides, too_much
from frostline_zoo.tensors import Array

SAME = frozenset({"Identity", "StopGradient", "Snapshot", "PreventGradient"})
"""Operations that give what they are given."""


def folded(node: Node, inputs: Sequence[Known]) -> Known | None:
    """Returns what an operation makes of what is known; None where that is not worked out here.

    Raises:
        InvalidError: the numbers do not fit one another (BAD_GRAPH).
        ExhaustedError: it makes too many of few (LIMIT_INFLATE).
    """
    if node.op in SAME:
        return inputs[0]
    work = _WORKS.get(node.op)
    if work is None:
        return None
    arrays = [value.array for value in inputs]
    if any(value.is_open for value in inputs) and node.op in _NUMBERS_ONLY:
        return None
    if node.op in _BROADCAST and math.prod(np.broadcast_shapes(*(array.shape for array in arrays))) > MAX_FOLDED:
        raise too_much(node.name)
    try:
        made = work(node, arrays)
    except (ValueError, IndexError, TypeError, ZeroDivisionError, OverflowError) as error:
        raise bad_graph(f"{node.name[:120]!r} does not fit its inputs") from error
    sources = tuple(dict.fromkeys(source for value in inputs for source in value.sources))
    return Known(made, sources, node.op, tuple(inputs))


def _product(array: Array, axis: int) -> Any:
    total = np.ones(np.delete(array.shape, axis), object)
    for part in np.moveaxis(array, axis, 0):
        total = _each(lambda a, b: a * b, total, part)
    return total


def _each(work: Callable[[Any, Any], Any], first: Any, second: Any) -> Array:
    """Returns a function of each two numbers; None where one is open."""
    if np.asarray(first).dtype != object and np.asarray(second).dtype != object:
        return np.asarray(work(first, second))
    pairs = np.broadcast(np.asarray(first, object), np.asarray(second, object))
    out = np.empty(pairs.shape, object)
    out.reshape(-1)[:] = [None if a is None or b is None else work(a, b) for a, b in pairs]
    return out


def _prod(node: Node, arrays: list[Array]) -> Array:
    array, axes = arrays
    for axis in sorted((int(axis) % array.ndim for axis in axes.reshape(-1)), reverse=True):
        array = _product(array, axis)
    return np.asarray(array, object)


def _strided_slice(node: Node, arrays: list[Array]) -> Array:
    array, begin, end, strides = arrays
    masks = {key: int(node.attributes[key].i) if key in node.attributes else 0 for key in _MASKS}
    if masks["ellipsis_mask"] or masks["new_axis_mask"]:
        raise ValueError("a slice of another kind")
    index: list[Any] = []
    for at, (first, last, step) in enumerate(zip(begin.tolist(), end.tolist(), strides.tolist(), strict=True)):
        if masks["shrink_axis_mask"] >> at & 1:
            index.append(first)
        else:
            start = None if masks["begin_mask"] >> at & 1 else first
            index.append(slice(start, None if masks["end_mask"] >> at & 1 else last, step))
    return np.asarray(array[tuple(index)], array.dtype)


_MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")


def _squeeze(node: Node, arrays: list[Array]) -> Array:
    return arrays[0].squeeze(tuple(sides(node.attributes, "squeeze_dims")) or None)


def _axis(node: Node) -> int:
    return int(node.attributes["axis"].i) if "axis" in node.attributes else 0


def _cast(node: Node, arrays: list[Array]) -> Array:
    dtype = DTYPES[node.attributes["DstT"].type]
    return arrays[0] if arrays[0].dtype == object and dtype.kind in "iu" else arrays[0].astype(dtype)


def _fill(node: Node, arrays: list[Array]) -> Array:
    shape = [int(side) for side in arrays[0].tolist()]
    if math.prod(shape) > MAX_FOLDED:
        raise too_much(node.name)
    return np.full(shape, arrays[1])


def _range(node: Node, arrays: list[Array]) -> Array:
    first, last, step = (array.item() for array in arrays)
    if abs(last - first) > MAX_FOLDED * abs(step):
        raise too_much(node.name)
    made: Array = np.arange(first, last, step).astype(arrays[0].dtype)
    return made


_WORKS: dict[str, Callable[[Node, list[Array]], Array]] = {
    "Shape": lambda node, a: np.array(a[0].shape, np.int32),
    "Reshape": lambda node, a: a[0].reshape([int(side) for side in a[1].reshape(-1)]),
    "Squeeze": _squeeze,
    "ExpandDims": lambda node, a: np.expand_dims(a[0], int(a[1].item())),
    "Transpose": lambda node, a: np.transpose(a[0], a[1].tolist()),
    "Cast": _cast,
    "Pack": lambda node, a: np.stack(_same_kind(a), _axis(node)),
    "ConcatV2": lambda node, a: np.concatenate(_same_kind(a[:-1]), int(a[-1].item())),
    "GatherV2": lambda node, a: np.take(a[0], np.asarray(a[1], np.int64), int(a[2].item())),
    "StridedSlice": _strided_slice,
    "Prod": _prod,
    "Range": _range,
    "Fill": _fill,
    "Add": lambda node, a: _each(lambda x, y: x + y, *a),
    "AddV2": lambda node, a: _each(lambda x, y: x + y, *a),
    "Sub": lambda node, a: _each(lambda x, y: x - y, *a),
    "Mul": lambda node, a: _each(lambda x, y: x * y, *a),
    "FloorDiv": lambda node, a: _each(lambda x, y: x // y, *a),
    "RealDiv": lambda node, a: a[0] / a[1],
    "Maximum": lambda node, a: np.maximum(*a),
    "Minimum": lambda node, a: np.minimum(*a),
    "Neg": lambda node, a: -a[0],
    "Rsqrt": lambda node, a: (1 / np.sqrt(a[0].astype(np.float64))).astype(a[0].dtype),
    "Sqrt": lambda node, a: np.sqrt(a[0]),
    "Reciprocal": lambda node, a: 1 / a[0],
}
_BROADCAST = frozenset({"Add", "AddV2", "Sub", "Mul", "FloorDiv", "RealDiv", "Maximum", "Minimum"})
_NUMBERS_ONLY = frozenset({"RealDiv", "Maximum", "Minimum", "Neg", "Rsqrt", "Sqrt", "Reciprocal", "Range", "Fill"})


def _same_kind(arrays: list[Array]) -> list[Array]:
    return [array.astype(object) for array in arrays] if any(array.dtype == object for array in arrays) else arrays


def transposed_if(node: Node, key: str, value: Known) -> Known:
    """Returns a matrix, transposed where an attribute says so."""
    return Known(value.array.T, value.sources) if flag(node.attributes, key) else value
