"""Shapes of examples, and how a graph turns them: reshaped, padded, reduced."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from frostline_zoo.foreign.saved_model.graph import Node
from frostline_zoo.foreign.saved_model.steps import Steps, unsupported
from frostline_zoo.foreign.saved_model.values import Flow, Known, Side, Turned, example_size, flag, sides

_POOLED = {"Mean": "GlobalAveragePooling", "Max": "GlobalMaxPooling"}


def reshape(steps: Steps, node: Node, x: Flow, target: Known) -> Flow:
    """Returns x in another shape; the batch must stay what it is."""
    wanted = target.array.reshape(-1).tolist()
    if x.turned and x.turned[-1].kind == "rows":
        return _rows_back(node, x, wanted)
    x = steps.plain(x, node)
    shape, size = x.step.shape, example_size(x.step.shape)
    if _makes_rows(shape, wanted):
        return Flow(x.step, (Turned("rows"),))
    sized = [None if side is None or side == -1 else int(side) for side in wanted[1:]]
    if sized.count(None) > 1 or not wanted or (wanted[0] not in (None, -1)):
        raise unsupported(node, "makes a shape that depends on the batch")
    if size is None:
        raise unsupported(node, "reshapes examples of no fixed size: give the network an input of one size")
    if None in sized:
        rest = math.prod(side or 1 for side in sized)
        sized[sized.index(None)] = size // rest if rest else 0
    if math.prod(side or 0 for side in sized) != size:
        raise unsupported(node, "mixes examples of a batch")
    if tuple(sized) == shape[1:]:
        return x
    if len(sized) == 1:
        return steps.add(node, "Flatten", {}, [x], (None, *sized))
    return steps.add(node, "Reshape", {"target_shape": sized}, [x], (None, *sized))


def _makes_rows(shape: tuple[Side, ...], wanted: list[Any]) -> bool:
    """Whether all sides but the last are made one, as TensorFlow does before it multiplies by a matrix."""
    if len(shape) < 3 or len(wanted) != 2 or wanted[0] not in (None, -1) or example_size(shape) == shape[-1]:
        return False
    return shape[-1] is not None and wanted[1] == shape[-1]


def _rows_back(node: Node, x: Flow, wanted: list[Any]) -> Flow:
    shape = x.step.shape
    if len(wanted) == len(shape) and all(a in (b, None, -1) for a, b in zip(wanted[1:], shape[1:], strict=True)):
        return Flow(x.step, x.turned[:-1])
    raise unsupported(node, "mixes examples of a batch")


def squeezed(steps: Steps, node: Node, x: Flow) -> Flow:
    """Returns x without some of its sides of one."""
    axes = sorted(axis % x.rank for axis in sides(node.attributes, "squeeze_dims"))
    if not axes:
        axes = [axis for axis, side in enumerate(x.shape) if axis and side == 1]
    if x.turned and x.turned[-1].kind == "expanded" and axes == [x.turned[-1].axis]:
        return Flow(x.step, x.turned[:-1])
    x = steps.plain(x, node)
    kept = [side for axis, side in enumerate(x.step.shape) if axis and axis not in axes]
    return _reshaped(steps, node, x, kept)


def expanded(steps: Steps, node: Node, x: Flow, axis: int) -> Flow:
    """Returns x with a side of one more."""
    axis %= x.rank + 1
    if axis == 0:
        raise unsupported(node, "adds a side before the batch")
    return Flow(x.step, (*x.turned, Turned("expanded", axis)))


def _reshaped(steps: Steps, node: Node, x: Flow, sized: Sequence[Side]) -> Flow:
    if sum(side is None for side in sized) > 1 or not sized:
        raise unsupported(node, "reshapes examples of no fixed size: give the network an input of one size")
    config = {"target_shape": [-1 if side is None else side for side in sized]}
    return steps.add(node, "Reshape", config, [x], (None, *sized))


def padded(steps: Steps, node: Node, x: Flow, pads: Known, value: float) -> Flow:
    """Returns x with zeros around it."""
    rank, turned = x.rank, x.turned
    pairs = [pads.integers()[2 * axis : 2 * axis + 2] for axis in range(rank)]
    if turned and turned[-1].kind == "expanded" and pairs[turned[-1].axis] == [0, 0]:
        pairs.pop(turned[-1].axis)
        x = Flow(x.step, turned[:-1])
    elif turned:
        x, turned = steps.plain(x, node), ()
    if not 3 <= len(pairs) <= 5 or any(pairs[0]) or any(pairs[-1]) or value != 0 or node.op == "MirrorPad":
        raise unsupported(node, "pads with something other than zeros around an image")
    shape = x.step.shape
    grown = [side if side is None else side + sum(pair) for side, pair in zip(shape[1:-1], pairs[1:-1], strict=True)]
    padding: Any = pairs[1] if len(pairs) == 3 else pairs[1:-1]
    made = steps.add(node, f"ZeroPadding{len(pairs) - 2}D", {"padding": padding}, [x], (None, *grown, shape[-1]))
    return Flow(made.step, turned)


def reduced(steps: Steps, node: Node, x: Flow, over: Known) -> Flow:
    """Returns the mean or the largest over all places of a feature map."""
    x = steps.plain(x, node)
    shape, rank = x.step.shape, len(x.step.shape)
    axes = sorted(axis % rank for axis in over.integers())
    if node.op not in _POOLED or not 3 <= rank <= 5 or axes != list(range(1, rank - 1)):
        raise unsupported(node, "reduces over something other than all places of a feature map")
    keeps = flag(node.attributes, "keep_dims")
    made = (None, *([1] * (rank - 2) if keeps else []), shape[-1])
    return steps.add(node, f"{_POOLED[node.op]}{rank - 2}D", {"keepdims": keeps}, [x], made)


def transposed(steps: Steps, node: Node, x: Flow, order: Known) -> Flow:
    """Returns x with its axes in another order."""
    axes = order.integers()
    if axes == list(range(len(axes))):
        return x
    x = steps.plain(x, node)
    if axes[0] != 0:
        raise unsupported(node, "moves the batch")
    return steps.add(node, "Permute", {"dims": axes[1:]}, [x], tuple(x.step.shape[axis] for axis in axes))
