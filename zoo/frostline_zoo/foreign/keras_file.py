"""The .keras format: a zip archive with the configuration and an HDF5 file of weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign import hdf5
from frostline_zoo.foreign.archive import Archive, bad, opened_archive
from frostline_zoo.foreign.files import Files, reading
from frostline_zoo.foreign.json_text import MAX_BYTES, parsed, parsed_object
from frostline_zoo.foreign.tree import KerasNetwork

_MAX_WEIGHTS_BYTES = 2 << 30
_MAX_METADATA_BYTES = 1 << 20
_OPTIMIZER = "optimizer"


@contextmanager
def read_keras_file(files: Files, main: str) -> Iterator[KerasNetwork]:
    """Gives the network of a .keras file, its arrays to be read while the context lasts.

    Raises:
        InvalidError, ExhaustedError: as `reader.answer`.
    """
    notes = []
    with opened_archive(files.view(main)) as archive:
        if "config.json" not in archive.names:
            text = (
                "the archive has no config.json, as a .keras file has: push arrays of examples as a dataset, "
                "and save arrays of weights as .safetensors"
            )
            raise InvalidError(text, reason="BAD_ARCHIVE")
        config = parsed_object(bytes(archive.read("config.json", MAX_BYTES)))
        version = _version(archive)
        if "model.weights.h5" not in archive.names:
            raise bad("it has no model.weights.h5; save the network in one file, with its weights")
        weights = archive.read("model.weights.h5", _MAX_WEIGHTS_BYTES)
        if any(name.startswith("assets/") for name in archive.names):
            notes.append("the archive's assets were left out")
    with hdf5.opened(reading(weights)) as file:
        if _OPTIMIZER in file:
            notes.append("the optimizer's state was left out: a training job starts its own")
        kept = [name for name in file if name != _OPTIMIZER]
        yield KerasNetwork("keras", config, version, hdf5.tree(file, kept), tuple(notes))


def _version(archive: Archive) -> str:
    if "metadata.json" not in archive.names:
        return ""
    metadata = parsed(bytes(archive.read("metadata.json", _MAX_METADATA_BYTES)))
    return str(metadata.get("keras_version"))[:40] if isinstance(metadata, dict) else ""
