"""Where the .keras format keeps the weights of a network.

The weights of a layer lie at `layers/{class}/vars/{number}`, classes in snake case and counted where they repeat, inner
models and the layers within a layer below their owner: the rules of Keras's `saving_lib`.
"""

from __future__ import annotations

import re
from typing import Any

import keras

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign.tree import Group
from frostline_zoo.networks.rebuild import Part
from frostline_zoo.networks.weights import Values, stored_at

_LAYERS = ("layers", "_layer_checkpoint_dependencies")  # Keras's first releases of the format used the second


def read_weights(part: Part, group: Group, values: Values) -> None:
    """Puts the weights of a network's declared variables into `values`.

    Raises:
        InvalidError: the file does not have them, or in other shapes.
    """
    _read_parts(part, group, values, set())


def _read_parts(part: Part, group: Group, values: Values, seen: set[int]) -> None:
    container = next((group.members[name] for name in _LAYERS if name in group.members), None)
    counts: dict[str, int] = {}
    for inner in part.parts or ():
        model = "Sequential" if inner.class_name == "Sequential" else "Functional"
        name = _snake_case(type(inner.layer).__name__ if inner.parts is None else model)
        count = counts[name] = counts.get(name, -1) + 1
        member = container.members.get(f"{name}_{count}" if count else name) if isinstance(container, Group) else None
        if inner.parts is None:
            _read_layer(inner.layer, member, values, seen, inner.name)
        elif isinstance(member, Group):
            _read_parts(inner, member, values, seen)


def _read_layer(layer: Any, group: Any, values: Values, seen: set[int], name: str) -> None:
    """Reads a layer's own variables, then those of the layers that it holds as attributes."""
    if id(layer) in seen:
        return
    seen.add(id(layer))
    within = _layers_within(layer)
    theirs = {id(variable) for inner, _ in within for variable in inner.weights}
    own = [variable for variable in layer.weights if id(variable) not in theirs]
    stored = group.at("vars") if isinstance(group, Group) else None
    count = len(stored.members) if isinstance(stored, Group) else 0
    if own and count != len(own):
        text = f"layer {name[:80]!r} has {len(own)} weights of its own, the file {count}"
        raise InvalidError(text, reason="BAD_WEIGHTS")
    for number, variable in enumerate(own):
        values.put(variable, stored_at(stored, str(number)), name)
    for inner, attributes in within:
        if inner.weights:
            held = group.members if isinstance(group, Group) else {}
            _read_layer(inner, next((held[each] for each in attributes if each in held), None), values, seen, name)


def _layers_within(layer: Any) -> list[tuple[Any, list[str]]]:
    """Returns the layers that a layer holds, with the attributes that hold each, public ones first."""
    found: dict[int, tuple[Any, list[str]]] = {}
    attributes = [name for name in dir(layer) if name not in _EVERY_LAYER and not name.startswith("__")]
    for attribute in sorted(attributes, key=lambda name: (name.startswith("_"), name)):
        value = getattr(layer, attribute, None)
        if isinstance(value, keras.layers.Layer):
            found.setdefault(id(value), (value, []))[1].append(attribute)
    return list(found.values())


_EVERY_LAYER = frozenset(dir(keras.layers.Layer()))


def _snake_case(name: str) -> str:
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
