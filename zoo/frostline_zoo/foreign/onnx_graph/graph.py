"""An ONNX graph: its nodes in order, its constants, who uses what. What no import may hold is refused here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, ValueInfoProto

from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.foreign.canvas.held import Constant
from frostline_zoo.foreign.files import Files
from frostline_zoo.foreign.messages import fields
from frostline_zoo.foreign.onnx_graph.bulk import apart
from frostline_zoo.foreign.onnx_graph.refusals import bad_onnx, unsupported
from frostline_zoo.foreign.onnx_graph.tensors import array_of

OLDEST_OPSET, NEWEST_OPSET = 7, 28
MAX_NODES = 20_000
MAX_TENSORS = 20_000
_MAX_DEPTH = 100
_DOMAINS = ("", "ai.onnx")
# Field numbers of ModelProto.graph, then of what graphs are nested in: GraphProto.node, NodeProto.attribute, and
# AttributeProto.g and .graphs.
_MODEL_GRAPH = 7
_NESTING = ((1,), (5,), (6, 11))


@dataclass(frozen=True)
class Node:
    """One node: its attributes as numbers, words, lists of them and constants."""

    op_type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Graph:
    """A graph.

    Attributes:
        opset: the version of ONNX's operators that it is written in.
        nodes: in an order in which each comes after those it needs, without those that no output needs.
        constants: the initializers, by name.
        inputs: what an example is, without initializers.
        outputs: the names of its outputs.
        idle: how many nodes no output needs.
        uses: how often each tensor is used, as an output too.
        makers: by tensor, the operator that makes it.
    """

    opset: int
    nodes: tuple[Node, ...]
    constants: dict[str, Constant]
    inputs: tuple[ValueInfoProto, ...]
    outputs: tuple[str, ...]
    idle: int
    uses: Counter[str] = field(default_factory=Counter)
    makers: dict[str, Node] = field(default_factory=dict)


def parsed_model(content: memoryview) -> tuple[ModelProto, dict[int, memoryview]]:
    """Returns the message in a file, and the bytes of its initializers by their numbers, which it has not itself.

    Raises:
        InvalidError: it is none (BAD_ONNX), or is nested too deep (LIMIT_DEPTH).
        ExhaustedError: a part of it says that it takes more than 2 GiB (LIMIT_PARAMS).
    """
    try:
        rest, bulk = apart(content)
    except InvalidError as error:
        raise bad_onnx("it cannot be read") from error
    try:
        return ModelProto.FromString(rest), bulk
    except DecodeError as error:
        if _is_deep(content):
            text = f"the ONNX file is nested more than {_MAX_DEPTH} deep: export the network without branches"
            raise InvalidError(text, reason="LIMIT_DEPTH") from error
        raise bad_onnx("it cannot be read") from error


def graph_of(model: ModelProto, bulk: dict[int, memoryview], files: Files, main: str) -> Graph:
    """Returns the graph of a model; `bulk` holds bytes of its initializers, as `parsed_model` gives them.

    Raises:
        InvalidError: the operators are of a version not known here or not ONNX's own (UNSAFE_OP), the graph does not
            hold together (BAD_ONNX), a tensor is elsewhere (EXTERNAL_REFERENCE).
        ExhaustedError: it has more than 20,000 nodes or tensors (LIMIT_LAYERS), or too large a tensor (LIMIT_PARAMS).
    """
    graph = model.graph
    if len(graph.node) > MAX_NODES or len(graph.initializer) > MAX_TENSORS:
        text = f"the network has more than {MAX_NODES} nodes or {MAX_TENSORS} tensors: take a smaller one"
        raise ExhaustedError(text, reason="LIMIT_LAYERS")
    if model.functions or graph.sparse_initializer:
        raise bad_onnx("it has functions of its own, or sparse weights")
    _check_text(model)
    for node in graph.node:
        if node.domain not in _DOMAINS:
            text = f"node {node.name[:80]!r} ({node.op_type[:80]}) is of {node.domain[:80]!r}, not one of ONNX's own"
            raise InvalidError(f"{text} operators: export the network without it", reason="UNSAFE_OP")
    constants = {
        tensor.name: Constant(array_of(tensor, files, main, bulk.get(number)), (tensor.name,))
        for number, tensor in enumerate(graph.initializer)
    }
    if len(constants) != len(graph.initializer):
        raise bad_onnx("two of its tensors have one name")
    inputs = tuple(entry for entry in graph.input if entry.name not in constants)
    outputs = tuple(entry.name for entry in graph.output)
    _check_order(graph, {entry.name for entry in inputs} | constants.keys(), outputs)
    needed = _needed(graph, outputs)
    nodes = tuple(_node(node, files, main) for node in needed)
    uses = Counter(name for node in nodes for name in node.inputs)
    uses.update(outputs)
    makers = {name: node for node in nodes for name in node.outputs}
    idle = len(graph.node) - len(nodes)
    return Graph(_opset(model), nodes, constants, inputs, outputs, idle, uses, makers)


def _check_text(model: ModelProto) -> None:
    """Checks that texts are some: the parser gives bytes where they are not UTF-8."""
    nodes, attributes = model.graph.node, [each for node in model.graph.node for each in node.attribute]
    tensors = [*model.graph.initializer, *(each.t for each in attributes)]
    named: list[Any] = [*nodes, *attributes, *tensors, *model.graph.input, *model.graph.output]
    words = [word for node in nodes for word in (node.op_type, node.domain, *node.input, *node.output)]
    words += [word for tensor in tensors for each in tensor.external_data for word in (each.key, each.value)]
    words += [each.name for each in named] + [each.ref_attr_name for each in attributes]
    if not all(isinstance(word, str) for word in words):
        raise bad_onnx("a name in it is no text")


def _opset(model: ModelProto) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in _DOMAINS]
    if len(versions) != 1:
        raise bad_onnx("it does not say once which operators it is written in")
    if not OLDEST_OPSET <= versions[0] <= NEWEST_OPSET:
        text = f"the ONNX file is of opset {versions[0]}: export it with one of {OLDEST_OPSET} to {NEWEST_OPSET}"
        raise InvalidError(text, reason="UNSUPPORTED_OP")
    return int(versions[0])


def _check_order(graph: GraphProto, made: set[str], outputs: tuple[str, ...]) -> None:
    for node in graph.node:
        if any(name and name not in made for name in node.input):
            raise bad_onnx(f"node {node.name[:80]!r} needs what nothing made before it, or its own output")
        new = [name for name in node.output if name]
        if len(set(new)) != len(new) or any(name in made for name in new):
            raise bad_onnx(f"node {node.name[:80]!r} makes a tensor that is there already")
        made.update(new)
    if not outputs or any(name not in made for name in outputs):
        raise bad_onnx("it has no outputs, or one that nothing makes")


def _needed(graph: GraphProto, outputs: tuple[str, ...]) -> list[NodeProto]:
    wanted = set(outputs)
    found = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            found.append(node)
            wanted.update(node.input)
    return found[::-1]


def _node(node: NodeProto, files: Files, main: str) -> Node:
    attributes = {entry.name: _attribute(entry, node, files, main) for entry in node.attribute}
    if len(attributes) != len(node.attribute):
        raise bad_onnx(f"node {node.name[:80]!r} says something twice")
    return Node(node.op_type, node.name or node.output[0], tuple(node.input), tuple(node.output), attributes)


def _attribute(entry: AttributeProto, node: NodeProto, files: Files, main: str) -> Any:
    if entry.ref_attr_name:
        raise bad_onnx(f"node {node.name[:80]!r} refers to a function's attribute outside a function")
    if entry.type == AttributeProto.FLOAT:
        return shortest(entry.f)
    if entry.type == AttributeProto.INT:
        return int(entry.i)
    if entry.type == AttributeProto.STRING:
        return entry.s.decode("utf-8", "replace")
    if entry.type == AttributeProto.TENSOR:
        return Constant(array_of(entry.t, files, main))
    if entry.type == AttributeProto.FLOATS:
        return [shortest(each) for each in entry.floats]
    if entry.type == AttributeProto.INTS:
        return [int(each) for each in entry.ints]
    if entry.type == AttributeProto.STRINGS:
        return [each.decode("utf-8", "replace") for each in entry.strings]
    raise unsupported(node.op_type, node.name, "holds a graph, a type or a sparse tensor")


def shortest(number: float) -> float:
    """Returns the shortest decimal that is the same float32."""
    return float(str(np.float32(number)))


def _is_deep(content: memoryview) -> bool:
    """Whether graphs are nested in it more deeply than is read, found without recursion."""
    level = [each.bytes for each in _readable(content) if each.number == _MODEL_GRAPH and each.wire_type == 2]
    for depth in range(_MAX_DEPTH):
        wanted = _NESTING[depth % len(_NESTING)]
        level = [inner.bytes for message in level for inner in _readable(message) if inner.number in wanted]
        if not level:
            return False
    return True


def _readable(message: memoryview) -> list[Any]:
    try:
        return [each for each in fields(message) if isinstance(each.value, memoryview)]
    except InvalidError:
        return []
