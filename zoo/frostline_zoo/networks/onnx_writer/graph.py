"""A graph of ONNX operators while it is written, values known by their names.

Keras keeps channels last, ONNX's convolutions want them first. A value that was computed channels first is transposed
for whoever wants it as Keras has it, and remembered as it was: the next convolution takes that, and the transposes
between the two, which nobody uses then, are left out of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from frostline_zoo.errors import ExhaustedError
from frostline_zoo.tensors import Array

MAX_WEIGHT_BYTES = (1 << 31) - (64 << 20)
"""What an ONNX file can hold: protobuf ends at 2 GiB, and some must be left for the graph."""


class Graph:
    """Operators in order; `layer` is the one that is being written, and names what is added."""

    def __init__(self) -> None:
        self.layer = ""
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}
        self._weight_bytes = 0
        self._first: dict[str, str] = {}
        self._count = 0

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds an operator and returns its only output. An input that is left out is an empty name."""
        self._count += 1
        output = f"{self.layer}/{kind}_{self._count}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def weight(self, parameter: str, value: Array) -> str:
        """Adds an array and returns its name, `layer/parameter`; a layer that is called twice adds it once.

        Raises:
            ExhaustedError: the weights are more than a file holds.
        """
        name = f"{self.layer}/{parameter}"
        if name not in self._constants:
            self._weight_bytes += value.nbytes
            if self._weight_bytes > MAX_WEIGHT_BYTES:
                text = "the weights take 2 GiB, more than an ONNX file holds: export it as saved_model"
                raise ExhaustedError(text, reason="LIMIT_PARAMS")
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def constant(self, value: Any, dtype: str = "float32") -> str:
        """Adds a constant of numbers, and returns its name."""
        self._count += 1
        return self.weight(f"constant_{self._count}", np.array(value, dtype))

    def to_first(self, value: str, rank: int) -> str:
        """Returns a value of channels last with its channels first."""
        if value not in self._first:
            self._first[value] = self.op("Transpose", value, perm=[0, rank - 1, *range(1, rank - 1)])
        return self._first[value]

    def is_first(self, value: str) -> bool:
        """Whether a value was computed channels first."""
        return value in self._first

    def to_last(self, value: str, rank: int) -> str:
        """Returns a value of channels first with its channels last."""
        last = self.op("Transpose", value, perm=[0, *range(2, rank), 1])
        self._first[last] = value
        return last

    def each(self, kind: str, *values: str, rank: int, constants: Sequence[str] = (), **attributes: Any) -> str:
        """Adds an operator that works number by number on values of one shape, in whichever order they are.

        `constants` are its further inputs.
        """
        if all(value in self._first for value in values):
            made = self.op(kind, *(self._first[value] for value in values), *constants, **attributes)
            return self.to_last(made, rank)
        return self.op(kind, *values, *constants, **attributes)

    def used(self, outputs: Sequence[str]) -> tuple[list[NodeProto], list[TensorProto]]:
        """Returns the operators and arrays that the outputs need."""
        needed, nodes = set(outputs), []
        for node in reversed(self._nodes):
            if node.output[0] in needed:
                needed.update(node.input)
                nodes.append(node)
        return nodes[::-1], [array for name, array in self._constants.items() if name in needed]
