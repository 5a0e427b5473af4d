"""Networks as files of other tools. docs/exports.md says what each holds and how it is read.

An export is there whole or not at all, whatever its name ends in.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import safetensors.numpy

from frostline_zoo.errors import InvalidError
from frostline_zoo.files import publish, sync, sync_folder
from frostline_zoo.manifest import Manifest
from frostline_zoo.networks.build import Network
from frostline_zoo.networks.onnx_writer.writer import onnx_model
from frostline_zoo.networks.weights import named_weights
from frostline_zoo.tensors import Array

MANIFEST_KEY = "frostline.manifest"
"""Where the metadata of a safetensors file and of an ONNX file holds the manifest."""


def export_network(network: Network, format: str, path: Path) -> None:
    """Writes a network to `path`: a file, or for "saved_model" a folder.

    Args:
        network: the network.
        format: "keras", "saved_model", "onnx" or "safetensors".
        path: what is made; a folder must not be there yet, or be empty.

    Raises:
        InvalidError: the format is unknown, or cannot say what a layer of the network does.
        OSError: it cannot be written.
    """
    if format not in WRITERS:
        known = ", ".join(WRITERS)
        raise InvalidError(f"format {format[:40]!r} cannot be written: use {known}", reason="UNKNOWN_FORMAT")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        staged = Path(folder) / f"network.{format}"
        WRITERS[format](network, staged)
        _sync_all(staged)
        publish(staged, path)


def output_names(manifest: Manifest) -> list[str]:
    """Returns a name for each output: its layer's, made unique by `_1`, `_2`, ... where that is taken."""
    names: list[str] = []
    inputs = {entry.name for entry in manifest.inputs}
    for ref in manifest.outputs:
        name, count = ref.layer, 0
        while name in inputs or name in names:
            count += 1
            name = f"{ref.layer}_{count}"
        names.append(name)
    return names


def _write_keras(network: Network, path: Path) -> None:
    network.model.save(path)


def _write_saved_model(network: Network, path: Path) -> None:
    """Writes what TensorFlow Serving serves: tensors in and out by name, as the signature `serving_default`."""
    manifest, names = network.manifest, output_names(network.manifest)
    specs = [  # TensorFlow takes no other letters in an input's name
        keras.InputSpec(shape=(None, *entry.shape), dtype=entry.dtype, name=re.sub(r"\W", "_", entry.name))
        for entry in manifest.inputs
    ]

    def serve(*inputs: Any) -> dict[str, Any]:
        outputs = network.model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)
        return dict(zip(names, keras.tree.flatten(outputs), strict=True))

    archive = keras.export.ExportArchive()
    archive.track(network.model)
    archive.add_endpoint("serving_default", serve, input_signature=specs)
    archive.write_out(path, verbose=False)
    extra = path / "assets.extra"  # TensorFlow's place for what it shall not look at
    extra.mkdir()
    (extra / "manifest.json").write_bytes(manifest.encode())


def _write_safetensors(network: Network, path: Path) -> None:
    tensors: dict[str, Array] = {
        f"{name}/{parameter}": keras.ops.convert_to_numpy(variable)
        for name, layer in network.layers.items()
        for parameter, variable in named_weights(layer).items()
    }
    safetensors.numpy.save_file(tensors, path, {MANIFEST_KEY: network.manifest.encode().decode()})


def _write_onnx(network: Network, path: Path) -> None:
    metadata = {MANIFEST_KEY: network.manifest.encode().decode()}
    path.write_bytes(onnx_model(network, output_names(network.manifest), metadata).SerializeToString())


WRITERS: dict[str, Callable[[Network, Path], None]] = {
    "keras": _write_keras,
    "saved_model": _write_saved_model,
    "onnx": _write_onnx,
    "safetensors": _write_safetensors,
}


def _sync_all(path: Path) -> None:
    if path.is_dir():
        for inner in path.iterdir():
            _sync_all(inner)
        sync_folder(path)
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
