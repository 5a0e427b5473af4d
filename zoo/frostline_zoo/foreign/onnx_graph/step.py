"""One node while it is drawn: what it is given, and the table of who draws which operator."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.held import Constant, Held, UnsayableError
from frostline_zoo.foreign.onnx_graph.folding import ints_of
from frostline_zoo.foreign.onnx_graph.graph import Graph, Node

Value = Held | Constant
_WEIGHT = re.compile(r"(.+)[._/](?:weight|kernel|gamma|scale|W|w)(?::0)?")


@dataclass(frozen=True)
class Step:
    """One node.

    Attributes:
        canvas: where it is drawn.
        graph: the whole.
        node: the node.
        values: its inputs; None where one is left out.
    """

    canvas: Canvas
    graph: Graph
    node: Node
    values: tuple[Value | None, ...]

    @property
    def opset(self) -> int:
        """The version of ONNX's operators."""
        return self.graph.opset

    @property
    def label(self) -> str:
        """What to name its layer: as its weights are named, or as it is."""
        for value in self.values[1:2]:
            sources = value.sources if isinstance(value, Constant) else ()
            if len(sources) == 1 and (found := _WEIGHT.fullmatch(sources[0])):
                return found[1]
        return self.node.name

    @property
    def tensors(self) -> list[Held]:
        """Its inputs, where all are computed from examples."""
        return [self.held(at) for at in range(len(self.values))]

    def held(self, at: int = 0) -> Held:
        """Returns an input that is computed from examples. Raises UnsayableError where it is not."""
        value = self.values[at] if at < len(self.values) else None
        if not isinstance(value, Held):
            raise UnsayableError(f"has a constant, or nothing, as its input {at}")
        return value

    def constant(self, at: int) -> Constant:
        """Returns an input that is constant. Raises UnsayableError where it is not."""
        value = self.values[at] if at < len(self.values) else None
        if not isinstance(value, Constant):
            raise UnsayableError(f"has nothing, or what is computed from examples, as its input {at}")
        return value

    def optional(self, at: int) -> Constant | None:
        """Returns an input that is constant, or None where it is left out. Raises UnsayableError."""
        return self.constant(at) if at < len(self.values) and self.values[at] is not None else None

    def attribute(self, key: str, default: Any = None) -> Any:
        """Returns one of the node's attributes."""
        return self.node.attributes.get(key, default)

    def ints(self, key: str, at: int) -> list[int] | None:
        """Returns whole numbers that older opsets have as an attribute and newer ones as an input."""
        if key in self.node.attributes:
            return list(self.node.attributes[key])
        found = self.optional(at)
        return None if found is None else ints_of(found.array)

    def number(self, key: str, at: int, default: float) -> float:
        """Returns a number that older opsets have as an attribute and newer ones as an input."""
        if key in self.node.attributes:
            return float(self.node.attributes[key])
        found = self.optional(at)
        if found is None or found.array.size == 0:
            return default
        if found.array.size != 1:
            raise UnsayableError(f"has {found.array.size} numbers for its {key}")
        return float(found.array.reshape(())[()])


Operator = Callable[[Step], Value | list[Value]]
OPERATORS: dict[str, Operator] = {}


def operator(*op_types: str) -> Callable[[Operator], Operator]:
    """Enters a function as what draws some operators."""

    def enter(function: Operator) -> Operator:
        OPERATORS.update(dict.fromkeys(op_types, function))
        return function

    return enter
