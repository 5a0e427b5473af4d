"""Graphs walked through from one signature: what it reaches, each node once, its functions opened up in place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.foreign.saved_model.allowed_operations import PURE, SETS_UP, TELLTALE, unsafe_operation
from frostline_zoo.foreign.stumbles import STUMBLES

MAX_NODES = 200_000
MAX_CALL_DEPTH = 100
CALLS = ("PartitionedCall", "StatefulPartitionedCall")

Value = TypeVar("Value")


@dataclass(frozen=True)
class Node:
    """One operation, where it stands once all functions are opened up.

    Attributes:
        name: with the scopes of the calls around it, `a/b/c`.
        op: which operation it is.
        attributes: its settings by name.
    """

    name: str
    op: str
    attributes: Mapping[str, Any]


Compute = Callable[[Node, Sequence[Value]], Sequence[Value]]
"""Gives a node's outputs for its inputs."""


class _Step(NamedTuple):
    """One operation taken out of its message: its tensors and its settings by name."""

    name: str
    op: str
    inputs: list[str]
    attributes: Mapping[str, Any]


class _Function(NamedTuple):
    """A function taken out of its message, once for all of its calls, which may be many."""

    arguments: list[str]
    returns: list[str]
    steps: list[_Step]


def bad_graph(what: str) -> InvalidError:
    """Returns the refusal of a graph that does not hold together."""
    return InvalidError(f"the graph does not hold together: {what}; save the network again", reason="BAD_GRAPH")


class Graph:
    """A graph with its library of functions."""

    def __init__(self, graph: Any) -> None:
        """Looks through all of it for operations that no network needs.

        Raises:
            InvalidError: it holds one (UNSAFE_OP), or names two nodes the same (BAD_GRAPH).
            ExhaustedError: it has more than 200,000 nodes (LIMIT_NODES).
        """
        functions = graph.library.functions
        self._functions = {function.signature.name: function for function in functions}
        bodies = [graph.nodes, *(function.nodes for function in functions)]
        if sum(map(len, bodies)) > MAX_NODES:
            raise _too_large()
        self._nodes: dict[str, Any] = {node.name: node for node in graph.nodes}
        if len(self._nodes) != len(graph.nodes) or len(self._functions) != len(functions):
            raise bad_graph("two of its parts have one name")
        for node in (node for body in bodies for node in body):
            if node.op in TELLTALE:
                raise unsafe_operation(node.op, node.name)
        self.operations = Counter(node.op for body in bodies for node in body)
        self._opened: dict[str, _Function] = {}
        self._count = 0

    def check_set_up(self, names: Iterable[str]) -> None:
        """Checks what would run before the network is used. Raises InvalidError where that is more than setting up."""
        _, body = _reached(self._nodes, names)
        self._check(body, SETS_UP, set())

    def computed(self, outputs: Sequence[str], compute: Compute[Value]) -> list[Value]:
        """Returns what the tensors named `outputs` are, every node's value from `compute`.

        Raises:
            InvalidError: something that they need, or that runs along, is not plain arithmetic (UNSAFE_OP); calls are
                nested more than 100 deep (LIMIT_DEPTH); the graph does not hold together (BAD_GRAPH).
            ExhaustedError: it opens up to more than 200,000 nodes (LIMIT_NODES).
        """
        needed, along = _reached(self._nodes, [_node_of(name) for name in outputs])
        self._check(along, PURE, set())
        values = self._body(_steps(needed), {}, "", compute, 0)
        return [_at(values, name) for name in outputs]

    def _check(self, nodes: Iterable[Any], allowed: frozenset[str], seen: set[str]) -> None:
        """Checks nodes, and whole the functions that they call: their side effects need no path to an output."""
        waiting = list(nodes)
        while waiting:
            node = waiting.pop()
            if node.op not in allowed:
                raise unsafe_operation(node.op, node.name)
            named = _functions_of(node)
            if named and node.op not in CALLS:
                raise unsafe_operation(node.op, node.name)
            for name in named - seen:
                seen.add(name)
                waiting += self._function(name).nodes

    def _function(self, name: str) -> Any:
        if name not in self._functions:
            raise bad_graph(f"it has no function {name[:120]!r}")
        return self._functions[name]

    def _body(
        self, steps: Sequence[_Step], arguments: dict[str, Value], scope: str, compute: Compute[Value], depth: int
    ) -> dict[str, Sequence[Value]]:
        values: dict[str, Sequence[Value]] = {name: [value] for name, value in arguments.items()}
        for step in steps:
            self._count += 1
            if self._count > MAX_NODES:
                raise _too_large()
            inputs = [_at(values, name) for name in step.inputs]
            if step.op in CALLS:
                values[step.name] = self._call(step, inputs, scope, compute, depth + 1)
            else:
                values[step.name] = _computed(compute, Node(scope + step.name, step.op, step.attributes), inputs)
        return values

    def _call(
        self, step: _Step, inputs: Sequence[Value], scope: str, compute: Compute[Value], depth: int
    ) -> list[Value]:
        if depth > MAX_CALL_DEPTH:
            raise InvalidError(f"the graph's calls are nested more than {MAX_CALL_DEPTH} deep", reason="LIMIT_DEPTH")
        function = self._open(step.attributes["f"].function.name if "f" in step.attributes else "")
        if len(function.arguments) != len(inputs):
            takes = len(function.arguments)
            raise bad_graph(f"{step.name[:120]!r} gives its function {len(inputs)} tensors, not {takes}")
        parent = step.name.rpartition("/")[0] if step.name.rpartition("/")[2].startswith(CALLS) else step.name
        inner = f"{scope}{parent}/" if parent else scope
        arguments = dict(zip(function.arguments, inputs, strict=True))
        values = self._body(function.steps, arguments, inner, compute, depth)
        return [_at(values, name) for name in function.returns]

    def _open(self, name: str) -> _Function:
        if name not in self._opened:
            function = self._function(name)
            arguments = [argument.name for argument in function.signature.inputs]
            returned = {entry.key: entry.value for entry in function.returns}
            returns = [returned.get(output.name, "") for output in function.signature.outputs]
            own = {inner.name: inner for inner in function.nodes}
            needed, _ = _reached(own, [_node_of(tensor) for tensor in returns], frozenset(arguments))
            self._opened[name] = _Function(arguments, returns, _steps(needed))
        return self._opened[name]


def _steps(nodes: Iterable[Any]) -> list[_Step]:
    return [
        _Step(
            node.name,
            node.op,
            [name for name in node.inputs if not name.startswith("^")],
            {entry.key: entry.value for entry in node.attributes},
        )
        for node in nodes
    ]


def _computed(compute: Compute[Value], node: Node, inputs: Sequence[Value]) -> Sequence[Value]:
    try:
        return compute(node, inputs)
    except STUMBLES as error:
        raise bad_graph(f"{node.name[:120]!r}, a {node.op}, has not what it needs") from error


def _reached(
    nodes: Mapping[str, Any], wanted: Iterable[str], given: frozenset[str] = frozenset()
) -> tuple[list[Any], list[Any]]:
    """Returns the nodes that give `wanted`, each after those it needs, and all that run when these do."""
    order: list[Any] = []
    state: dict[str, int] = {}
    stack = [(name, False) for name in wanted if name not in given]
    while stack:
        name, done = stack.pop()
        if name not in nodes:
            raise bad_graph(f"nothing in it is named {name[:120]!r}")
        if done:
            state[name] = 2
            order.append(nodes[name])
        elif name not in state:
            state[name] = 1
            stack.append((name, True))
            inputs = {_node_of(each) for each in nodes[name].inputs if not each.startswith("^")} - given
            for each in sorted(inputs):
                if state.get(each) == 1:
                    raise bad_graph(f"{each[:120]!r} needs its own output")
                stack.append((each, False))
    along: dict[str, Any] = {node.name: node for node in order}
    waiting = list(order)
    while waiting:
        for each in waiting.pop().inputs:
            name = _node_of(each.removeprefix("^"))
            if name not in along and name not in given:
                if name not in nodes:
                    raise bad_graph(f"nothing in it is named {name[:120]!r}")
                along[name] = nodes[name]
                waiting.append(nodes[name])
    return order, list(along.values())


def _functions_of(node: Any) -> set[str]:
    found = set()
    for entry in node.attributes:
        listed = entry.value.list.function
        found |= {each.name for each in (entry.value.function, *listed) if each.name}
    return found


def _node_of(tensor: str) -> str:
    return tensor.partition(":")[0]


def _at(values: Mapping[str, Sequence[Value]], tensor: str) -> Value:
    """Returns a tensor by its name: `node`, `node:1`, or in a function `node:output:0`."""
    name, _, rest = tensor.partition(":")
    output, _, number = rest.rpartition(":")
    found = values.get(name)
    if found is None or not (number or "0").isdigit() or int(number or 0) >= len(found):
        raise bad_graph(f"nothing in it makes {tensor[:120]!r}")
    if output in _LATER_OUTPUTS:
        raise bad_graph(f"it uses {tensor[:120]!r}, which only training makes")
    return found[int(number or 0)]


# The further outputs of operations that have several by name, all of them made for training.
_LATER_OUTPUTS = ("batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2", "reserve_space_3")


def _too_large() -> ExhaustedError:
    return ExhaustedError(f"the graph has more than {MAX_NODES:,} nodes: take a smaller network", reason="LIMIT_NODES")
