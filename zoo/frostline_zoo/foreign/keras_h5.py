"""The HDF5 format of Keras 2, which Keras 3 still writes: the configuration as an attribute, groups of weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import h5py

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign import hdf5
from frostline_zoo.foreign.files import Files
from frostline_zoo.foreign.json_text import parsed_object
from frostline_zoo.foreign.tree import KerasNetwork


@contextmanager
def read_keras_h5(files: Files, main: str) -> Iterator[KerasNetwork]:
    """Gives the network of an HDF5 file, its arrays to be read while the context lasts.

    Raises:
        InvalidError, ExhaustedError: as `reader.answer`.
    """
    with hdf5.opened(files.open(main)) as file:
        config = hdf5.text_attribute(file, "model_config")
        if config is None:
            text = "the HDF5 file holds weights without a network: save the whole model, not its weights alone"
            raise InvalidError(text, reason="BAD_HDF5")
        groups = file.get("model_weights")
        if not isinstance(groups, h5py.Group):
            raise hdf5.bad("it has no weights")
        left_out = "the optimizer's state was left out: a training job starts its own"
        notes = (left_out,) if "optimizer_weights" in file else ()
        version = (hdf5.text_attribute(file, "keras_version") or "")[:40]
        yield KerasNetwork("keras_h5", parsed_object(config), version, hdf5.tree(groups, list(groups)), notes)
