"""Calls of layers as Keras writes them: `inbound_nodes` of Keras 3, and the lists of Keras 2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from frostline_zoo.errors import InvalidError

MAX_DEPTH = 10


class Reference(NamedTuple):
    """A tensor as a file names it: output `output` of call `call` of layer `layer`, as that file counts calls."""

    layer: str
    call: int
    output: int


@dataclass(frozen=True)
class WrittenCall:
    """One use of a layer, with a Reference where a tensor goes."""

    args: list[Any]
    kwargs: dict[str, Any]

    def references(self) -> list[Reference]:
        """Returns the tensors among the arguments."""
        found: list[Reference] = []
        mapped([self.args, self.kwargs], lambda ref: found.append(ref))
        return found


def mapped(value: Any, replace: Callable[[Reference], Any]) -> Any:
    """Returns `value` with every Reference in it replaced."""
    if isinstance(value, Reference):
        return replace(value)
    if isinstance(value, list):
        return [mapped(item, replace) for item in value]
    if isinstance(value, dict):
        return {key: mapped(item, replace) for key, item in value.items()}
    return value


def is_listed(nodes: Any) -> bool:
    """Whether a layer's calls are written as Keras 2 does."""
    return isinstance(nodes, list) and any(isinstance(node, list) for node in nodes)


def written_calls(nodes: Any, layer: str) -> list[WrittenCall]:
    """Returns a layer's calls.

    Raises:
        InvalidError: a call is not written as Keras does, or holds an object that is not a tensor.
    """
    if not isinstance(nodes, list):
        raise _malformed(layer)
    return [_listed(node, layer) if isinstance(node, list) else _object(node, layer) for node in nodes if node]


def written_references(value: Any) -> list[Reference]:
    """Returns the tensors that `input_layers` or `output_layers` lists, nested or not, in Keras's order."""
    if isinstance(value, dict):
        return [ref for key in sorted(value) for ref in written_references(value[key])]
    if _is_reference(value):
        return [Reference(*value)]
    if isinstance(value, list):
        return [ref for item in value for ref in written_references(item)]
    raise InvalidError("the network does not say what its inputs and outputs are", reason="BAD_CONFIG")


def _object(node: Any, layer: str) -> WrittenCall:
    if not isinstance(node, dict) or not isinstance(node.get("args"), list) or not isinstance(node.get("kwargs"), dict):
        raise _malformed(layer)

    def read(value: Any, depth: int = 0) -> Any:
        if depth > MAX_DEPTH:
            raise _malformed(layer)
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            history = value.get("config", {}).get("keras_history")
            if not _is_reference(history):
                raise _malformed(layer)
            return Reference(*history)
        if isinstance(value, dict) and "class_name" in value:
            text = f"layer {layer[:80]!r} is called on an object that is not a tensor, which is not taken in: make it"
            text += " an input, or a layer's weight"
            raise InvalidError(text, reason="UNSAFE_LAYER")
        if isinstance(value, dict):
            return {key: read(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [read(item, depth + 1) for item in value]
        return value

    return WrittenCall(read(node["args"]), read(node["kwargs"]))


def _listed(node: list[Any], layer: str) -> WrittenCall:
    entries = [node] if node and isinstance(node[0], str) else node
    tensors: list[Any] = []
    kwargs: dict[str, Any] = {}
    for entry in entries:
        if not isinstance(entry, list) or len(entry) not in (3, 4) or not _is_reference(entry[:3]):
            raise _malformed(layer)
        tensors.append(Reference(*entry[:3]))
        kwargs = kwargs or (entry[3] if len(entry) == 4 else {})
    if not isinstance(kwargs, dict):
        raise _malformed(layer)

    def read(value: Any, depth: int = 0) -> Any:
        if depth > MAX_DEPTH or isinstance(value, dict):
            raise _malformed(layer)
        if _is_reference(value):
            return Reference(*value)
        return [read(item, depth + 1) for item in value] if isinstance(value, list) else value

    argument = tensors[0] if len(tensors) == 1 else tensors
    return WrittenCall([argument], {key: read(value) for key, value in kwargs.items()})


def _is_reference(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and isinstance(value[0], str)
        and all(
            isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**31 for number in value[1:]
        )
    )


def _malformed(layer: str) -> InvalidError:
    return InvalidError(f"layer {layer[:80]!r}: its inputs are not written as Keras does", reason="BAD_CONFIG")
