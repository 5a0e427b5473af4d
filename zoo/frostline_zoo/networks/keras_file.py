"""The .keras format: a zip archive with the configuration and an HDF5 file of weights.

The weights of a layer lie at `layers/{class}/vars/{number}`, classes in snake case and counted where they repeat, inner
models and the layers within a layer below their owner: the rules of Keras's `saving_lib`.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import keras

from frostline_zoo.errors import InvalidError
from frostline_zoo.networks import hdf5
from frostline_zoo.networks.archive import Archive, opened_archive
from frostline_zoo.networks.json_text import MAX_BYTES, parsed
from frostline_zoo.networks.keras2 import as_it_is, in_keras_3
from frostline_zoo.networks.rebuild import Part, rebuild
from frostline_zoo.networks.weights import Values, check_size, declared

_MAX_WEIGHTS_BYTES = 2 << 30
_MAX_METADATA_BYTES = 1 << 20
_LAYERS = ("layers", "_layer_checkpoint_dependencies")  # Keras's first releases of the format used the second


def read_keras_file(path: Path, notes: list[str]) -> tuple[Part, Values]:
    """Returns a network of the .keras format, its variables declared, and the values of these.

    Args:
        path: the file.
        notes: gets a line for each thing that is not taken over.

    Raises:
        InvalidError, ExhaustedError: as `importer.import_network`.
    """
    with opened_archive(path) as archive:
        config = parsed(archive.read("config.json", MAX_BYTES))
        modernise = in_keras_3 if _is_keras_2(archive) else as_it_is
        if "model.weights.h5" not in archive.names:
            text = "the archive has no model.weights.h5: save the network in one file, with its weights"
            raise InvalidError(text, reason="BAD_ARCHIVE")
        weights = archive.read("model.weights.h5", _MAX_WEIGHTS_BYTES)
        if any(name.startswith("assets/") for name in archive.names):
            notes.append("the archive's assets were left out")
    with declared():
        part = rebuild(config, modernise)
        check_size([part.layer])
    values = Values()
    with hdf5.opened(io.BytesIO(weights)) as file:
        _read_parts(part, file, values, set())
        if "optimizer" in file:
            notes.append("the optimizer's state was left out: a training job starts its own")
    return part, values


def _is_keras_2(archive: Archive) -> bool:
    if "metadata.json" not in archive.names:
        return False
    metadata = parsed(archive.read("metadata.json", _MAX_METADATA_BYTES))
    return isinstance(metadata, dict) and str(metadata.get("keras_version")).startswith("2.")


def _read_parts(part: Part, group: Any, values: Values, seen: set[int]) -> None:
    container = next((group[name] for name in _LAYERS if name in group), None)
    counts: dict[str, int] = {}
    for inner in part.parts or ():
        model = "Sequential" if inner.class_name == "Sequential" else "Functional"
        name = _snake_case(type(inner.layer).__name__ if inner.parts is None else model)
        count = counts[name] = counts.get(name, -1) + 1
        member = None if container is None else container.get(f"{name}_{count}" if count else name)
        if inner.parts is None:
            _read_layer(inner.layer, member, values, seen, inner.name)
        elif member is not None:
            _read_parts(inner, member, values, seen)


def _read_layer(layer: Any, group: Any, values: Values, seen: set[int], name: str) -> None:
    """Reads a layer's own variables, then those of the layers that it holds as attributes."""
    if id(layer) in seen:
        return
    seen.add(id(layer))
    within = _layers_within(layer)
    theirs = {id(variable) for inner, _ in within for variable in inner.weights}
    own = [variable for variable in layer.weights if id(variable) not in theirs]
    stored = None if group is None else group.get("vars")
    if own and (stored is None or len(stored) != len(own)):
        raise hdf5.bad(f"layer {name[:80]!r} has {len(own)} weights of its own, the file {len(stored or ())}")
    for number, variable in enumerate(own):
        values.put(variable, hdf5.array_at(stored, str(number)), name)
    for inner, attributes in within:
        if inner.weights:
            members = [group[attribute] for attribute in attributes if group is not None and attribute in group]
            _read_layer(inner, members[0] if members else None, values, seen, name)


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
