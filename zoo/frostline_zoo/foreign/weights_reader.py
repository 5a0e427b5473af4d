"""Weights without a network, to be put into one of the zoo's: safetensors, HDF5 files of Keras, TensorFlow checkpoints.

The arrays are named as people know them, `layer/parameter` where the file says so much. Keras 3's own format only
numbers a layer's weights: there they are `layer/#0`, `layer/#1` and so on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import h5py

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign import hdf5
from frostline_zoo.foreign.files import Files
from frostline_zoo.foreign.safetensors_file import tensors_of
from frostline_zoo.foreign.saved_model.bundle import OBJECT_GRAPH, Bundle
from frostline_zoo.foreign.tree import Group, Stored, Weights

WEIGHTS_FORMATS = ("safetensors", "keras_h5", "checkpoint", "saved_model")
"""The formats that weights can be read from."""

_INDEX = ".index"
_VALUE = "VARIABLE_VALUE"


@contextmanager
def read_weights(files: Files, main: str, format: str) -> Iterator[Weights]:
    """Gives the arrays of a file, to be read while the context lasts.

    Raises:
        InvalidError: weights are not read from that format (UNKNOWN_FORMAT), or as `reader.answer`.
        ExhaustedError: as `reader.answer`.
    """
    if format == "safetensors":
        yield Weights(dict(tensors_of(files.view(main))), ())
    elif format == "keras_h5":
        with hdf5.opened(files.open(main)) as file:
            yield _of_keras(file)
    elif format == "checkpoint":
        yield _of_checkpoint(files, main.removesuffix(_INDEX))
    elif format == "saved_model":
        yield _of_checkpoint(files, f"{main.removesuffix('saved_model.pb')}variables/variables")
    else:
        text = f"weights are not read from {format}: use {', '.join(WEIGHTS_FORMATS)}"
        raise InvalidError(text, reason="UNKNOWN_FORMAT")


def refuse_weights(files: Files, main: str, format: str) -> NoReturn:
    """Refuses a file that holds no network, after a look through it.

    Raises:
        InvalidError: always; NO_NETWORK, or as `read_weights` where it is damaged.
        ExhaustedError: as `read_weights`.
    """
    with read_weights(files, main, format):
        text = "the file holds weights without a network: say into which model of the zoo they go"
        if format == "safetensors":
            text += ", or send the config.json that is missing beside it"
        raise InvalidError(text, reason="NO_NETWORK")


def _of_checkpoint(files: Files, prefix: str) -> Weights:
    bundle = Bundle(files.views(), prefix)
    objects = bundle.object_graph()
    attributes = [each for node in objects.nodes for each in node.attributes] if objects is not None else []
    names = {each.key: each.full_name for each in attributes if each.name == _VALUE and each.full_name}
    arrays: dict[str, Stored] = {}
    notes = []
    for key in bundle.keys:
        if key == OBJECT_GRAPH:
            continue
        if not bundle.is_tensor(key):
            notes.append(f"{key[:200]} is not one array of numbers, and was left out")
            continue
        name = names.get(key, key)
        arrays[key if name in arrays else name] = bundle.tensor(key)
    return Weights(arrays, tuple(notes))


def _of_keras(file: h5py.File) -> Weights:
    groups = file.get("model_weights", file)
    found: dict[str, Stored] = {}
    if "layer_names" in groups.attrs or "layer_names0" in groups.attrs:
        for layer, group in hdf5.tree(groups, list(groups)).members.items():
            if isinstance(group, Group):
                found |= _listed(layer, group)
    else:
        _numbered(file, (), found)
    notes = [f"{name} was left out: a training job starts its own" for name in _OPTIMIZER if name in file]
    return Weights(found, tuple(notes))


_OPTIMIZER = ("optimizer_weights", "optimizer")


def _listed(layer: str, group: Group) -> dict[str, Stored]:
    """Returns a layer's arrays by the names that the file lists, those of an inner network's layers by theirs too."""
    found = {}
    for name in group.weight_names:
        stored = group.at(name)
        if stored is None or isinstance(stored, Group):
            raise hdf5.bad(f"it has no weights {name[:80]!r}")
        *scopes, last = [part for part in name.removesuffix(":0").split("/") if not _CELL.fullmatch(part)]
        inner = scopes[len(scopes) - scopes[::-1].index(layer) :] if layer in scopes else scopes
        found["/".join([".".join([layer, *inner]), last])] = stored
    return found


# The cell of a recurrent layer, which the layer's weights are named by too.
_CELL = re.compile(r"(lstm|gru|simple_rnn)_cell(_\d+)?")


def _numbered(group: h5py.Group, owners: tuple[str, ...], found: dict[str, Stored]) -> None:
    """Adds the arrays below a group, named by the layers that own them: the groups of numbers say which these are."""
    for name in group:
        member = group[name]
        if name in _OPTIMIZER or not isinstance(member, h5py.Group):
            continue
        numbers = member.get("vars")
        if not isinstance(numbers, h5py.Group):
            _numbered(member, owners, found)
            continue
        inner = (*owners, hdf5.text_attribute(numbers, "name") or name)
        arrays = hdf5.tree(numbers, list(numbers)).members
        found |= {f"{'.'.join(inner)}/#{at}": each for at, each in arrays.items() if not isinstance(each, Group)}
        _numbered(member, inner, found)
