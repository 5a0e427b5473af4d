"""Tensors of another tool, as Keras holds them: the same numbers, their axes in another order.

A network that keeps channels first is drawn channels last without a transpose: a tensor remembers which of its axes
Keras holds where, and a transpose of the other tool only changes what it remembers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from frostline_zoo.manifest import TensorRef
from frostline_zoo.tensors import Array

Side = int | None
Order = tuple[int, ...]


class UnsayableError(Exception):
    """No layers of the allow-list say this. The text goes on from the operation's name: "has strides that differ"."""


@dataclass(frozen=True)
class Constant:
    """Numbers that are there before any example: `array`, and the names of the file's parameters it comes from."""

    array: Array
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Held:
    """A tensor of the other tool.

    Attributes:
        ref: the tensor of ours that holds its numbers.
        shape: its sides as the other tool has them, the batch among them; None where a side is free.
        order: Keras's axis i is its axis order[i]; order[0] is its batch axis.
        never_negative: whether no number in it can be below zero, whatever the weights below it become.
    """

    ref: TensorRef
    shape: tuple[Side, ...]
    order: Order
    never_negative: bool = False

    @property
    def rank(self) -> int:
        """The number of its axes, the batch's among them."""
        return len(self.shape)

    @property
    def batch_axis(self) -> int:
        """Which of its axes numbers the examples."""
        return self.order[0]

    @property
    def sides(self) -> tuple[Side, ...]:
        """Its sides as Keras holds them, without the batch."""
        return tuple(self.shape[axis] for axis in self.order[1:])

    def axis(self, axis: int) -> int:
        """Returns one of its axes, counted from the end where negative. Raises UnsayableError where it has no such."""
        if not -self.rank <= axis < self.rank:
            raise UnsayableError(f"names axis {axis} of a tensor of {self.rank}")
        return axis % self.rank

    def example_axis(self, axis: int) -> int:
        """Returns what `axis` does, where that is not the batch's."""
        found = self.axis(axis)
        if found == self.batch_axis:
            raise UnsayableError("works across examples")
        return found

    def place(self, axis: int) -> int:
        """Returns which axis of Keras's holds one of its axes."""
        return self.order.index(self.axis(axis))

    def known(self) -> tuple[int, ...]:
        """Returns the shape where no side is free. Raises UnsayableError."""
        sides = tuple(side for side in self.shape if side is not None)
        if len(sides) < self.rank:
            raise UnsayableError("needs the size of a side that is free: export the network for one input size")
        return sides


def channels_last(rank: int) -> Order:
    """Returns the order in which Keras holds feature maps whose channels are axis 1."""
    return (0, *range(2, rank), 1)


def as_is(rank: int) -> Order:
    """Returns the order that changes nothing."""
    return tuple(range(rank))


def same_memory(shape: tuple[Side, ...], first: Order, second: Order) -> bool:
    """Whether two orders put the numbers of a tensor into the same sequence: they differ in sides of one number."""
    return [axis for axis in first if shape[axis] != 1] == [axis for axis in second if shape[axis] != 1]


def product(sides: tuple[int, ...] | list[int]) -> int:
    """Returns the number of elements, in Python's integers."""
    return math.prod(sides)
