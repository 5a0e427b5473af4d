"""The HDF5 format of Keras 2, which Keras 3 still writes: a configuration as an attribute, weights in groups by layer.

A group lists its layer's weights in order, those that train first. An inner model is one group for all its layers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from frostline_zoo.errors import InvalidError
from frostline_zoo.networks import hdf5
from frostline_zoo.networks.json_text import parsed
from frostline_zoo.networks.keras2 import as_it_is, in_keras_3
from frostline_zoo.networks.rebuild import Part, rebuild
from frostline_zoo.networks.weights import Values, check_size, declared


def read_keras_h5(path: Path, notes: list[str]) -> tuple[Part, Values]:
    """Returns a network of the HDF5 format, its variables declared, and the values of these.

    Args:
        path: the file.
        notes: gets a line for each thing that is not taken over.

    Raises:
        InvalidError, ExhaustedError: as `importer.import_network`.
    """
    with hdf5.opened(path) as file:
        config = hdf5.text_attribute(file, "model_config")
        if config is None:
            text = "the HDF5 file holds weights without a network: save the whole model, not its weights alone"
            raise InvalidError(text, reason="BAD_HDF5")
        version = hdf5.text_attribute(file, "keras_version") or ""
        with declared():
            part = rebuild(parsed(config), as_it_is if version.startswith("3.") else in_keras_3)
            check_size([part.layer])
        groups = file.get("model_weights")
        if groups is None or hasattr(groups, "shape"):
            raise hdf5.bad("it has no weights")
        values = Values()
        for inner in part.parts or ():
            _read(inner, groups.get(inner.name), values)
        if "optimizer_weights" in file:
            notes.append("the optimizer's state was left out: a training job starts its own")
        return part, values


def _read(part: Part, group: Any, values: Values) -> None:
    variables = _unique(_training(part) + _other(part))
    if not variables:
        return
    if group is None or hasattr(group, "shape"):
        raise hdf5.bad(f"it has no weights for layer {part.name[:80]!r}")
    names = hdf5.names_attribute(group, "weight_names")
    if len(names) != len(variables):
        raise hdf5.bad(f"layer {part.name[:80]!r} has {len(variables)} weights, the file {len(names)}")
    for variable, name in zip(variables, names, strict=True):
        values.put(variable, hdf5.array_at(group, name), part.name)


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
