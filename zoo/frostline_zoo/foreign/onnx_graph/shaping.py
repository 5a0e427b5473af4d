"""Operators that change shapes: most only change which axis is which."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from frostline_zoo.foreign.canvas import shapes
from frostline_zoo.foreign.canvas.activations import scaled
from frostline_zoo.foreign.canvas.held import Constant, Held, UnsayableError, product
from frostline_zoo.foreign.canvas.spans import padded, sliced
from frostline_zoo.foreign.onnx_graph.folding import ints_of, spans_of
from frostline_zoo.foreign.onnx_graph.step import Step, Value, operator


@operator("Shape")
def _shape(step: Step) -> Constant:
    sides = step.held().shape[step.attribute("start", 0) : step.attribute("end")]
    return Constant(np.array(sides, object if None in sides else np.int64))


@operator("Size")
def _size(step: Step) -> Constant:
    return Constant(np.array(product(step.held().known()), np.int64))


@operator("Transpose")
def _transpose(step: Step) -> Held:
    x = step.held()
    return shapes.transposed(x, step.attribute("perm", list(range(x.rank))[::-1]))


@operator("Reshape")
def _reshape(step: Step) -> Held:
    x = step.held()
    target = step.ints("shape", 1) or []
    if not step.attribute("allowzero", 0):
        sides = x.known()
        target = [sides[at] if side == 0 and at < x.rank else side for at, side in enumerate(target)]
    return shapes.reshaped(step.canvas, x, target)


@operator("Flatten")
def _flatten(step: Step) -> Held:
    x = step.held()
    sides = x.known()
    axis = step.attribute("axis", 1)
    axis = axis + x.rank if axis < 0 else axis
    return shapes.reshaped(step.canvas, x, [product(sides[:axis]), product(sides[axis:])])


@operator("Squeeze")
def _squeeze(step: Step) -> Held:
    return shapes.squeezed(step.canvas, step.held(), step.ints("axes", 1))


@operator("Unsqueeze")
def _unsqueeze(step: Step) -> Held:
    return shapes.unsqueezed(step.canvas, step.held(), step.ints("axes", 1) or [])


@operator("Concat")
def _concat(step: Step) -> Held:
    return shapes.joined(step.canvas, step.label, step.tensors, step.attribute("axis"))


@operator("Expand")
def _expand(step: Step) -> Held:
    x = step.held()
    target = step.ints("", 1) or []
    own = x.known()
    if len(target) > x.rank or np.broadcast_shapes(own, tuple(target)) != own:
        raise UnsayableError("repeats its input")
    return x


@operator("Slice")
def _slice(step: Step) -> Held:
    x = step.held()
    arrays = [None, *(None if each is None else each.array for each in map(step.optional, range(1, len(step.values))))]
    for axis, start, stop, stride in spans_of(step.node, arrays, x.rank):
        side = x.shape[x.axis(axis)]
        if side is None or stride < 1:
            raise UnsayableError("takes a span backwards, or of a side that is free")
        if x.axis(axis) == x.batch_axis and (start, stride) == (0, 1) and stop >= side:
            continue
        first, last, _ = slice(start, stop, stride).indices(side)
        x = sliced(step.canvas, step.label, x, axis, first, last, stride)
    return x


@operator("Split")
def _split(step: Step) -> list[Value]:
    x = step.held()
    axis = x.example_axis(step.attribute("axis", 0))
    side = x.known()[axis]
    sizes = step.ints("split", 1)
    if sizes is None:
        each = -(-side // len(step.node.outputs))
        sizes = [min(each, side - at) for at in range(0, side, each)]
    if len(sizes) != len(step.node.outputs) or sum(sizes) != side:
        raise UnsayableError("splits an axis into other parts than it has")
    starts = [sum(sizes[:at]) for at in range(len(sizes))]
    return [
        sliced(step.canvas, f"{step.label}_{at}", x, axis, start, start + size, 1)
        for at, (start, size) in enumerate(zip(starts, sizes, strict=True))
    ]


@operator("Pad")
def _pad(step: Step) -> Held:
    x = step.held()
    pads = step.ints("pads", 1) or []
    value = step.number("value", 2, 0.0)
    named = step.ints("axes", 3) or list(range(x.rank))
    axes = [x.axis(axis) for axis in named]
    if len(pads) != 2 * len(axes) or step.attribute("mode", "constant") != "constant":
        raise UnsayableError("pads by what is there already, or along another number of axes")
    begins, ends = ([0] * x.rank for _ in range(2))
    for at, axis in enumerate(axes):
        begins[axis], ends[axis] = pads[at], pads[at + len(axes)]
    if not np.isfinite(value):
        raise UnsayableError("pads by what is no number")
    if value == 0 or min(pads, default=0) >= 0 >= max(pads, default=0):
        return padded(step.canvas, step.label, x, begins, ends)
    shifted = scaled(step.canvas, f"{step.label}_shifted", x, 1.0, -value)
    return scaled(step.canvas, f"{step.label}_back", padded(step.canvas, step.label, shifted, begins, ends), 1.0, value)


@operator("Gather")
def _gather(step: Step) -> Held:
    if isinstance(step.values[0], Constant):
        return _embedding(step)
    x = step.held()
    axis = x.example_axis(step.attribute("axis", 0))
    side = x.known()[axis]
    indices = step.constant(1).array
    places = [index % side for index in ints_of(indices) if -side <= index < side]
    if indices.ndim > 1 or not places or places != list(range(places[0], places[0] + indices.size)):
        raise UnsayableError("picks places that are not one after the other")
    made = sliced(step.canvas, step.label, x, axis, places[0], places[-1] + 1, 1)
    return made if indices.ndim else shapes.squeezed(step.canvas, made, [axis])


def _embedding(step: Step) -> Held:
    table, x = step.constant(0), step.held(1)
    if table.array.ndim != 2 or step.attribute("axis", 0) != 0:
        raise UnsayableError("looks rows up in what is no table")
    rows, width = table.array.shape
    return step.canvas.layer(
        step.node.name,
        "Embedding",
        x,
        {"input_dim": rows, "output_dim": width},
        shape=(*x.shape, width),
        order=(*x.order, x.rank),
        weights={"embeddings": table},
    )


@operator("DepthToSpace", "SpaceToDepth")
def _blocks(step: Step) -> Held:
    x = step.held()
    batch, channels, height, width = x.known()
    size = step.attribute("blocksize")
    if step.node.op_type == "SpaceToDepth":
        split = shapes.reshaped(step.canvas, x, [batch, channels, height // size, size, width // size, size])
        moved = shapes.transposed(split, [0, 3, 5, 1, 2, 4])
        return shapes.reshaped(step.canvas, moved, [batch, channels * size**2, height // size, width // size])
    deep = channels // size**2
    by_depth = step.attribute("mode", "DCR") == "DCR"
    sides = [batch, size, size, deep, height, width] if by_depth else [batch, deep, size, size, height, width]
    split = shapes.reshaped(step.canvas, x, sides)
    moved = shapes.transposed(split, [0, 3, 4, 1, 5, 2] if by_depth else [0, 1, 4, 2, 5, 3])
    made = shapes.reshaped(step.canvas, moved, [batch, deep, height * size, width * size])
    return replace(made, never_negative=x.never_negative)
