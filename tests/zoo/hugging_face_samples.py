"""Small Hugging Face folders for tests, which `hugging_face/make.py` has made, and changes to them."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from frostline_zoo.foreign.draft import Draft
from frostline_zoo.foreign.files import Files, Member
from frostline_zoo.foreign.hugging_face_reader import read_hugging_face

FOLDER = Path(__file__).parent / "hugging_face"
NAMES = sorted(path.name.removesuffix(".tar.gz") for path in FOLDER.glob("*.tar.gz"))
WEIGHTS = "model.safetensors"
Array = np.ndarray[Any, Any]


def unpacked(name: str, folder: Path) -> Path:
    """Unpacks a sample into a folder, and returns its own."""
    with tarfile.open(FOLDER / f"{name}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / name


def members(name: str) -> dict[str, bytes]:
    """Returns a sample's files by name."""
    with tarfile.open(FOLDER / f"{name}.tar.gz") as archive:
        read = {entry.name.rpartition("/")[2]: archive.extractfile(entry) for entry in archive if entry.isfile()}
        return {each: file.read() for each, file in read.items() if file is not None}


def draft_of(files: Mapping[str, bytes]) -> Draft:
    """Returns the draft of a folder's files."""
    at, listed = 0, []
    for name, content in files.items():
        listed.append(Member(name, at, len(content)))
        at += len(content)
    return read_hugging_face(Files(b"".join(files.values()), listed), "config.json")


def arrays_of(files: Mapping[str, bytes]) -> dict[str, Array]:
    """Returns all arrays of a folder."""
    return {
        name: array
        for file, content in files.items()
        if file.endswith("tensors")
        for name, array in load(content).items()
    }


def with_config(files: Mapping[str, bytes], file: str = "config.json", **changed: Any) -> dict[str, bytes]:
    """Returns the files with other keys in a configuration; None takes a key out."""
    config = json.loads(files.get(file, b"{}")) | changed
    kept = {key: value for key, value in config.items() if value is not None}
    return {**files, file: json.dumps(kept).encode()}


def with_arrays(files: Mapping[str, bytes], changed: Mapping[str, Array | None]) -> dict[str, bytes]:
    """Returns the files with other arrays; None takes one out."""
    arrays = load(files[WEIGHTS]) | changed
    kept = {name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}
    return {**files, WEIGHTS: save(kept)}


def wanted(name: str) -> list[Array]:
    """Returns what PyTorch computed; the scores of an answer's start and end side by side."""
    arrays = dict(np.load(FOLDER / f"{name}.npz"))
    outputs = [value for key, value in arrays.items() if key.startswith("y_")]
    return [np.stack(outputs, -1)] if "y_start_logits" in arrays else outputs


def given(name: str) -> Array:
    """Returns what PyTorch was given: token ids, or images with channels last."""
    array: Array = np.load(FOLDER / f"{name}.npz")["x"]
    return array
