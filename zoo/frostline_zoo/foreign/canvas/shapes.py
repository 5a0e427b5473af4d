"""Changes of shape: without a layer where only the meaning of axes changes, else by reshapes and permutations."""

from __future__ import annotations

from dataclasses import replace

from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.held import Held, UnsayableError, as_is, product

Block = tuple[list[int], list[int]]


def transposed(x: Held, perm: list[int]) -> Held:
    """Returns x with its axes in another order. No layer is needed: only which axis is which changes."""
    if sorted(perm) != list(as_is(x.rank)):
        raise UnsayableError(f"has a permutation of another rank than its input's {x.rank}")
    now_at = {axis: at for at, axis in enumerate(perm)}
    return replace(x, shape=tuple(x.shape[axis] for axis in perm), order=tuple(now_at[axis] for axis in x.order))


def reshaped(canvas: Canvas, x: Held, target: list[int]) -> Held:
    """Returns x in another shape; one side may be -1.

    Axes that the two shapes have in common stay where Keras holds them; those that are merged or split are brought
    into the file's order first, so the numbers come out as they would there.
    """
    shape = x.known()
    sides = _resolved(shape, target)
    blocks = _blocks(shape, sides)
    batch = next(block for block in blocks if x.batch_axis in block[0])
    if len(batch[0]) != 1 or len(batch[1]) != 1:
        raise UnsayableError("mixes examples: the batch must stay an axis of its own")
    places = []
    before = -1
    for sources, _ in blocks:
        moved = [x.order.index(axis) for axis in sources if shape[axis] != 1]
        before = min(moved) if moved else before
        places.append(before)
    ordered = [block for _, block in sorted(zip(places, blocks, strict=True), key=lambda pair: pair[0])]
    ordered = [batch, *(block for block in ordered if block is not batch)]
    x = canvas.held(x, tuple(axis for sources, _ in ordered for axis in sources))
    order = tuple(axis for _, targets in ordered for axis in targets)
    return canvas.reshaped(x, replace(x, shape=tuple(sides), order=order))


def squeezed(canvas: Canvas, x: Held, axes: list[int] | None) -> Held:
    """Returns x without some axes whose side is 1, or without all such."""
    if axes is None:
        axes = [axis for axis in as_is(x.rank) if x.shape[axis] == 1 and axis != x.batch_axis]
    gone = {x.example_axis(axis) for axis in axes}
    if any(x.shape[axis] != 1 for axis in gone):
        raise UnsayableError("squeezes an axis whose side is not 1")
    kept = [axis for axis in as_is(x.rank) if axis not in gone]
    order = tuple(kept.index(axis) for axis in x.order if axis not in gone)
    return _with_ones(canvas, x, replace(x, shape=tuple(x.shape[axis] for axis in kept), order=order))


def unsqueezed(canvas: Canvas, x: Held, axes: list[int]) -> Held:
    """Returns x with new axes whose side is 1, at places of the new shape."""
    rank = x.rank + len(axes)
    new = sorted({axis % rank for axis in axes if -rank <= axis < rank})
    if len(new) != len(axes) or rank > 8:
        raise UnsayableError("names axes that a tensor cannot have")
    old = [axis for axis in range(rank) if axis not in new]
    shape: list[int | None] = [1] * rank
    for at, axis in enumerate(old):
        shape[axis] = x.shape[at]
    order = [old[axis] for axis in x.order]
    for axis in new:
        order.insert(order.index(axis - 1) + 1 if axis - 1 in order else 1, axis)
    return _with_ones(canvas, x, replace(x, shape=tuple(shape), order=tuple(order)))


def joined(canvas: Canvas, name: str, tensors: list[Held], axis: int) -> Held:
    """Returns tensors one after the other along an axis."""
    first = tensors[0]
    axis = first.example_axis(axis)
    if any(each.rank != first.rank for each in tensors):
        raise UnsayableError("joins tensors of different rank")
    tensors = [canvas.held(each, first.order) for each in tensors]
    sides = [each.shape[axis] for each in tensors]
    total = None if None in sides else sum(side or 0 for side in sides)
    shape = tuple(total if at == axis else side for at, side in enumerate(first.shape))
    place = first.place(axis)
    config = {"axis": -1 if place == first.rank - 1 else place}
    never_negative = all(each.never_negative for each in tensors)
    return canvas.layer(name, "Concatenate", tensors, config, shape=shape, never_negative=never_negative)


def _with_ones(canvas: Canvas, x: Held, target: Held) -> Held:
    x.known()
    return canvas.reshaped(x, target)


def _resolved(shape: tuple[int, ...], target: list[int]) -> list[int]:
    total = product(shape)
    if target.count(-1) > 1 or any(side < -1 or side == 0 for side in target) or len(target) > 8:
        raise UnsayableError(f"asks for a shape that cannot be: {target[:9]}")
    given = product([side for side in target if side != -1])
    if -1 in target and total % given == 0:
        target = [total // given if side == -1 else side for side in target]
    if product(target) != total:
        raise UnsayableError(f"asks for {given} numbers where there are {total}")
    return target


def _blocks(source: tuple[int, ...], target: list[int]) -> list[Block]:
    """Parts two shapes of one size into the smallest runs of axes that hold equally many numbers."""
    blocks: list[Block] = []
    at = to = 0
    while at < len(source) or to < len(target):
        one_here = at < len(source) and source[at] == 1
        one_there = to < len(target) and target[to] == 1
        if one_here or one_there:
            blocks.append(([at] if one_here else [], [to] if one_there else []))
            at, to = at + one_here, to + one_there
            continue
        block: Block = ([at], [to])
        here, there = source[at], target[to]
        while here != there:
            if here < there:
                at += 1
                block[0].append(at)
                here *= source[at]
            else:
                to += 1
                block[1].append(to)
                there *= target[to]
        blocks.append(block)
        at, to = at + 1, to + 1
    return blocks
