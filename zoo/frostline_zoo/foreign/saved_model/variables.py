"""Which array of the checkpoint each variable of a graph is: by the objects that own it, or by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frostline_zoo.foreign.saved_model.bundle import Bundle
from frostline_zoo.foreign.saved_model.graph import CALLS
from frostline_zoo.foreign.saved_model.table import bad
from frostline_zoo.foreign.saved_model.values import Variable

_VALUE = "VARIABLE_VALUE"
_SUFFIX = f"/.ATTRIBUTES/{_VALUE}"


class Variables:
    """The variables of a graph."""

    def __init__(self, meta: Any, bundle: Bundle) -> None:
        """Reads who owns what; no numbers yet."""
        self._bundle = bundle
        self._keys: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._keys_of: dict[str, list[str]] = {}
        self._used: set[str] = set()
        stored = bundle.object_graph()
        if stored is None:
            return
        for node in stored.nodes:
            for attribute in node.attributes:
                if attribute.name == _VALUE:
                    self._names[attribute.key] = attribute.full_name
        for key, name in self._names.items():
            self._keys_of.setdefault(name, []).append(key)
        keys = _keys_by_object(meta.objects.nodes, stored.nodes)
        bound = {entry.key: list(entry.value.bound) for entry in meta.objects.functions}
        for node in meta.graph.nodes:
            if node.op in CALLS:
                functions = {entry.key: entry.value.function.name for entry in node.attributes}
                captured = bound.get(functions.get("f", ""), [])
                inputs = [name for name in node.inputs if not name.startswith("^")]
                for name, number in zip(inputs[len(inputs) - len(captured) :], captured, strict=False):
                    if number in keys:
                        self._keys[name.partition(":")[0]] = keys[number]

    def read(self, node: str) -> Variable:
        """Returns the variable that a node is, under its owner's name for it, or its key where others share that.

        Raises:
            InvalidError: the checkpoint has none, or it is damaged (BAD_CHECKPOINT).
        """
        key = self._keys.get(node) or (node if self._bundle.is_tensor(node) else None)
        if key is None:
            listed = self._keys_of.get(node, [])
            if len(listed) != 1:
                raise bad(f"it has {'several variables' if listed else 'no variable'} named {node[:120]!r}")
            key = listed[0]
        self._used.add(key)
        return Variable(self._own_name(key, node), self._bundle.tensor(key))

    def _own_name(self, key: str, node: str) -> str:
        """Returns a name that no other variable has, since those that look alike must not become one.

        One variable may be stored several times, under several keys, and has one name all the same.
        """
        name = self._names.get(key) or node
        first: dict[Any, str] = {}
        for other in sorted(self._keys_of.get(name, ())):
            first.setdefault(self._bundle.fingerprint(other), other)
        return name if len(first) < 2 else first[self._bundle.fingerprint(key)].removesuffix(_SUFFIX)

    def unused(self) -> list[str]:
        """Returns the checkpoint's arrays that nothing asked for, copies of those that something did left out."""
        asked = {self._bundle.fingerprint(key) for key in self._used}
        keys = [key for key in self._bundle.keys if key not in self._used and self._bundle.is_tensor(key)]
        return sorted({self._names.get(key, key) for key in keys if self._bundle.fingerprint(key) not in asked})


def _keys_by_object(saved: Any, stored: Any) -> dict[int, str]:
    """Returns the checkpoint key of each saved object that is a variable.

    The two graphs number objects each in its own way, but name their children alike: they are walked through together.
    """
    keys: dict[int, str] = {}
    seen, waiting = {0}, [(0, 0)] if len(saved) and len(stored) else []
    while waiting:
        ours, theirs = waiting.pop()
        for attribute in stored[theirs].attributes:
            if attribute.name == _VALUE:
                keys[ours] = attribute.key
        children: Mapping[str, int] = {child.name: child.node for child in stored[theirs].children}
        for child in saved[ours].children:
            other = children.get(child.name)
            inside = 0 <= child.node < len(saved) and other is not None and 0 <= other < len(stored)
            if inside and child.node not in seen and other is not None:
                seen.add(child.node)
                waiting.append((child.node, other))
    return keys
