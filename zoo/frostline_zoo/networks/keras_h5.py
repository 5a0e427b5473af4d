"""Where the HDF5 format of Keras 2, which Keras 3 still writes, keeps the weights of a network.

A group lists its layer's weights in order, those that train first. An inner model is one group for all its layers.
"""

from __future__ import annotations

from typing import Any

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign.tree import Group, Stored
from frostline_zoo.networks.rebuild import Part
from frostline_zoo.networks.weights import Values, stored_at


def read_weights(part: Part, group: Group, values: Values) -> None:
    """Puts the weights of a network's declared variables into `values`.

    Raises:
        InvalidError: the file does not have them, or in other shapes.
    """
    for inner in part.parts or ():
        _read(inner, group.at(inner.name), values)  # Keras 2 allowed slashes in names


def _read(part: Part, group: Group | Stored | None, values: Values) -> None:
    variables = _unique(_training(part) + _other(part))
    names = group.weight_names if isinstance(group, Group) else ()
    if len(names) != len(variables):
        text = f"layer {part.name[:80]!r} has {len(variables)} weights, the file {len(names)}"
        raise InvalidError(text, reason="BAD_WEIGHTS")
    for variable, name in zip(variables, names, strict=True):
        values.put(variable, stored_at(group, name), part.name)


def _training(part: Part) -> list[Any]:
    if part.parts is None:
        return list(part.layer.trainable_weights)
    return [variable for inner in part.parts for variable in _training(inner)] if part.trainable else []


def _other(part: Part) -> list[Any]:
    if part.parts is None:
        return list(part.layer.non_trainable_weights)
    if part.trainable:
        return [variable for inner in part.parts for variable in _other(inner)]
    return [variable for inner in part.parts for variable in _training(inner) + _other(inner)]


def _unique(variables: list[Any]) -> list[Any]:
    return list({id(variable): variable for variable in variables}.values())
