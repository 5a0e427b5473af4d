"""What flows through a graph while it is read: numbers that are known, sides of shapes, and tensors of examples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.foreign.saved_model.bundle import DTYPES
from frostline_zoo.tensors import Array

Side = int | None
MAX_FOLDED = 1 << 26


@dataclass(frozen=True, eq=False)
class Known:
    """Numbers that are the same for every example.

    Attributes:
        array: the numbers; sides of a shape are objects, None where a side is free.
        sources: the variables that they come from.
        made: the operation that made them of others, for those who recognise arithmetic by its form.
        parts: what it was made of.
    """

    array: Array
    sources: tuple[str, ...] = ()
    made: str = ""
    parts: tuple[Known, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether a side in it is free."""
        return self.array.dtype == object and any(each is None for each in self.array.reshape(-1).tolist())

    def flat(self) -> Known:
        """Returns the same numbers as a vector."""
        return self if self.array.ndim == 1 else Known(self.array.reshape(-1), self.sources)

    def integers(self) -> list[int]:
        """Returns the numbers as a flat list. Raises InvalidError where one is free or no integer."""
        if self.is_open or self.array.dtype.kind not in "iuO":
            raise InvalidError("the graph computes a shape from its examples", reason="UNSUPPORTED_OP")
        return [int(each) for each in self.array.reshape(-1).tolist()]


@dataclass(frozen=True)
class Variable:
    """A variable before it is read: its name, and its numbers."""

    name: str
    array: Array


@dataclass(eq=False)
class Step:
    """What will be a layer, called once.

    Attributes:
        scope: the scope of its operation.
        leaf: the rest of its operation's name.
        class_name: a Keras layer class, or until it is found to be part of one: `Scale` and `Bias` (a factor or a
            summand for each channel), `Below` and `Shifted` (what makes row numbers count from a table's end).
        config: its Keras configuration.
        inputs: what it is called on.
        shape: of its output, the batch among it.
        weights: by Keras's names, in Keras's order.
        listed: whether it is called on a list.
    """

    scope: str
    leaf: str
    class_name: str
    config: dict[str, Any]
    inputs: list[Step]
    shape: tuple[Side, ...]
    weights: dict[str, Known] = field(default_factory=dict)
    listed: bool = False


@dataclass(frozen=True)
class Turned:
    """A change of shape that TensorFlow makes around an operation, and takes back after it.

    Attributes:
        kind: `expanded` (a side of one at `axis`), `rows` (all sides but the last made one), `dilated` (every
            `rates`-th place gathered, after `begins` zeros at the start).
    """

    kind: str
    axis: int = 0
    rates: tuple[int, ...] = ()
    begins: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()


@dataclass(frozen=True)
class Flow:
    """A tensor of examples: the output of a step, and how the graph has turned it."""

    step: Step
    turned: tuple[Turned, ...] = ()

    @property
    def rank(self) -> int:
        """The number of axes that the graph sees."""
        if any(turn.kind == "rows" for turn in self.turned):
            return 2
        return len(self.step.shape) + sum(turn.kind == "expanded" for turn in self.turned)

    @property
    def shape(self) -> tuple[Side, ...]:
        """The shape that the graph sees. Raises InvalidError where it gathered places."""
        shape = self.step.shape
        for turn in self.turned:
            if turn.kind == "expanded":
                shape = (*shape[: turn.axis], 1, *shape[turn.axis :])
            elif turn.kind == "rows":
                shape = (None, shape[-1])
            else:
                raise InvalidError("the graph looks at a shape within a dilation", reason="UNSUPPORTED_OP")
        return shape


AnyValue = Known | Variable | Flow | None


def constant(attribute: Any, name: str) -> Array | None:
    """Returns the numbers of a constant; None where it holds text.

    Raises:
        InvalidError: it is not as large as its shape (BAD_GRAPH).
        ExhaustedError: it is far larger than what it holds (LIMIT_INFLATE).
    """
    tensor = attribute.tensor
    dtype = DTYPES.get(tensor.dtype)
    if dtype is None:
        return None
    shape = tuple(side.size for side in tensor.shape.sides)
    count = math.prod(shape)
    damaged = InvalidError(f"the constant {name[:120]!r} is not as large as its shape", reason="BAD_GRAPH")
    if min(shape, default=0) < 0:
        raise damaged
    if tensor.content:
        if len(tensor.content) != count * dtype.itemsize:
            raise damaged
        return np.frombuffer(tensor.content, dtype).reshape(shape)
    bits = dtype.kind == "V" or dtype.name in ("float16", "bfloat16")
    listed = {"bool": tensor.bools, "float32": tensor.floats, "float64": tensor.doubles, "int64": tensor.int64s}
    values = tensor.halves if bits else listed.get(dtype.name, tensor.ints)
    if len(values) > count or count > MAX_FOLDED:
        raise damaged if len(values) > count else too_much(name)
    flat = np.array(values, np.uint16).view(dtype) if bits else np.array(values, dtype)
    last = flat[-1:] if len(flat) else np.zeros(1, dtype)
    return np.concatenate([flat, np.repeat(last, count - len(flat))]).reshape(shape)


def too_much(name: str) -> ExhaustedError:
    """Returns the refusal of numbers that a graph makes out of few."""
    return ExhaustedError(f"the constant {name[:120]!r} unpacks to too much", reason="LIMIT_INFLATE")


def sides(attributes: Mapping[str, Any], key: str) -> list[int]:
    """Returns an attribute that is a list of integers."""
    return list(attributes[key].list.i) if key in attributes else []


def flag(attributes: Mapping[str, Any], key: str, default: bool = False) -> bool:
    """Returns an attribute that is true or false."""
    return bool(attributes[key].b) if key in attributes else default


def word(attributes: Mapping[str, Any], key: str, default: str) -> str:
    """Returns an attribute that is a word."""
    return attributes[key].s.decode("utf-8", "replace") if key in attributes else default


def number(attributes: Mapping[str, Any], key: str, default: float) -> float:
    """Returns an attribute that is a number."""
    return shortest(attributes[key].f) if key in attributes else default


def shortest(value: float) -> float:
    """Returns the number with the fewest digits that is the same in 32 bits: what people wrote."""
    return float(str(np.float32(value)))


def example_size(shape: Sequence[Side]) -> int | None:
    """Returns how many numbers one example has; None where that is open."""
    return None if any(side is None for side in shape[1:]) else math.prod(side or 0 for side in shape[1:])
