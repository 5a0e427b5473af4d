"""ONNX files as drafts: every node said by plain Keras layers, channels last, or refused by its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from onnx import ValueInfoProto

from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.held import Constant, Held, Side, UnsayableError, as_is, channels_last
from frostline_zoo.foreign.draft import Draft
from frostline_zoo.foreign.files import Files
from frostline_zoo.foreign.onnx_graph import arithmetic, convolving, normalizing, resizing, shaping
from frostline_zoo.foreign.onnx_graph.folding import folded
from frostline_zoo.foreign.onnx_graph.graph import Graph, Node, graph_of, parsed_model
from frostline_zoo.foreign.onnx_graph.refusals import bad_onnx, unsupported
from frostline_zoo.foreign.onnx_graph.step import OPERATORS, Step, Value
from frostline_zoo.foreign.onnx_graph.tensors import DTYPES
from frostline_zoo.foreign.stumbles import STUMBLES

# The modules whose operators are in the table.
DRAWN = (arithmetic, convolving, normalizing, resizing, shaping)

# Where the number of examples is left open, shapes are computed with this one, which no side of an example has: a
# reshape that mixes examples is then seen as such.
_FREE_BATCH = 1_000_003
_MOST_FOLDED = 1 << 27  # numbers that all nodes together compute from constants
_TAKES_CHANNELS_FIRST = {
    *("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LRN", "PRelu"),
    *("BatchNormalization", "InstanceNormalization", "GroupNormalization", "Resize", "Upsample"),
    *("DepthToSpace", "SpaceToDepth"),
}
_SAYS_NOTHING_OF_AXES = {
    *("Add", "Sub", "Mul", "Div", "Cast", "Identity", "Dropout", "Relu", "LeakyRelu", "Clip", "Sigmoid", "Tanh"),
    *("Neg", "Abs", "Pow", "Pad", "Elu", "Selu", "HardSigmoid", "HardSwish"),
}


def read_onnx(files: Files, main: str) -> Draft:
    """Returns the network in an ONNX file.

    Args:
        files: the files of the import; tensors that are kept outside are found among them by their exact names.
        main: the name of the ONNX file.

    Raises:
        InvalidError: the file is damaged (BAD_ONNX, LIMIT_DEPTH), has operators that are not ONNX's (UNSAFE_OP) or that
            no Keras layers say (UNSUPPORTED_OP), or points to files that are not there (EXTERNAL_REFERENCE).
        ExhaustedError: it is too large (LIMIT_LAYERS, LIMIT_PARAMS).
    """
    graph = graph_of(*parsed_model(files.view(main)), files, main)
    return _Drawing(graph).draft()


@contextmanager
def onnx_file(files: Files, main: str) -> Iterator[Draft]:
    """Gives `read_onnx`'s draft, whose arrays may be read at any time."""
    yield read_onnx(files, main)


class _Drawing:
    """A graph while it is drawn."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._canvas = Canvas()
        self._values: dict[str, Value] = dict(graph.constants)
        self._folded = self._moved = self._elements = 0

    def draft(self) -> Draft:
        """Returns the whole."""
        if not self._graph.inputs:
            raise bad_onnx("it has no inputs")
        batch = _batch(self._graph.inputs[0])
        for entry in self._graph.inputs:
            self._values[entry.name] = self._input(entry, batch)
        for node in self._graph.nodes:
            self._draw(node)
        outputs = [self._output(name) for name in self._graph.outputs]
        self._report()
        return self._canvas.draft(outputs)

    def _input(self, entry: ValueInfoProto, batch: int) -> Held:
        tensor = entry.type.tensor_type
        name = entry.name[:80]
        dtype = DTYPES.get(tensor.elem_type)
        if not entry.type.HasField("tensor_type") or dtype is None or dtype.kind == "b":
            raise bad_onnx(f"input {name!r} is no tensor of numbers")
        sides: list[Side] = [side.dim_value if side.dim_value > 0 else None for side in tensor.shape.dim]
        if not 1 <= len(sides) <= 6:
            raise bad_onnx(f"input {name!r} is of rank {len(sides)}, where 1 to 6 are known here")
        if sides[0] not in (None, 1, batch):
            raise bad_onnx(f"input {name!r} is of another number of examples than the first")
        shape = (batch, *sides[1:])
        is_map = len(shape) > 2 and self._takes_channels_first(entry.name)
        order = channels_last(len(shape)) if is_map else as_is(len(shape))
        is_whole = dtype.kind in "iu"
        if dtype.kind not in "iu" and dtype != np.float32:
            self._canvas.report.notes.append(f"input {name!r} is taken as float32 instead of {dtype.name}")
        return self._canvas.input(entry.name, shape, order, dtype.name if is_whole else "float32")

    def _takes_channels_first(self, name: str) -> bool:
        """Whether a tensor comes to an operator with channels in axis 1 before any other that knows axes."""
        passed = {name}
        for node in self._graph.nodes:
            if passed.isdisjoint(node.inputs):
                continue
            if node.op_type in _TAKES_CHANNELS_FIRST:
                return True
            if node.op_type in _SAYS_NOTHING_OF_AXES:
                passed.update(node.outputs)
        return False

    def _draw(self, node: Node) -> None:
        try:
            values = tuple(self._values[name] if name else None for name in node.inputs)
            made = self._fold(node, values)
            if made is None:
                if node.op_type not in OPERATORS:
                    raise UnsayableError("is an operator that is not known here")
                made = OPERATORS[node.op_type](Step(self._canvas, self._graph, node, values))
                self._moved += node.op_type == "Transpose"
                self._folded += isinstance(made, Constant)
        except UnsayableError as why:
            raise unsupported(node.op_type, node.name, str(why)) from why
        except STUMBLES as error:
            raise bad_onnx(f"node {node.name[:80]!r} ({node.op_type[:80]}) does not hold together") from error
        self._values.update(zip(node.outputs, made if isinstance(made, Sequence) else [made], strict=False))

    def _fold(self, node: Node, values: tuple[Value | None, ...]) -> Sequence[Value] | Value | None:
        """Returns what a node makes of constants alone, where it is given no more than those."""
        constants = [each for each in values if not isinstance(each, Held)]
        made = folded(node, constants) if len(constants) == len(values) else None
        if made is not None:
            self._folded += 1
            self._elements += sum(each.array.size for each in made if each.array.base is None)
        if self._elements > _MOST_FOLDED:
            raise UnsayableError("computes too much from constants")
        return made

    def _output(self, name: str) -> Held:
        value = self._values.get(name)
        if not isinstance(value, Held):
            raise bad_onnx(f"output {name[:80]!r} is a constant, or is not made")
        try:
            return self._canvas.output(name, value)
        except UnsayableError as why:
            raise unsupported("output", name, str(why)) from why

    def _report(self) -> None:
        report = self._canvas.report
        if self._folded:
            report.notes.append(f"{self._folded} nodes that compute with constants were computed once and left out")
        if self._moved:
            report.notes.append(f"{self._moved} transposes were taken as names of axes")
        if self._graph.idle:
            report.notes.append(f"{self._graph.idle} nodes that no output needs were left out")
        taken = {theirs for theirs, _ in report.renamed} | set(report.matched)
        used = {name for node in self._graph.nodes for name in node.inputs}
        report.unexpected.extend(name for name in self._graph.constants if name not in taken | used)
        dtypes = [constant.array.dtype for constant in self._graph.constants.values()]
        for dtype in sorted({dtype.name for dtype in dtypes if dtype.kind not in "iub"} - {"float32"}):
            report.notes.append(f"weights of {dtype} were taken in as float32")


def _batch(entry: ValueInfoProto) -> int:
    sides = entry.type.tensor_type.shape.dim
    return int(sides[0].dim_value) if sides and sides[0].dim_value > 0 else _FREE_BATCH
