"""The files of a network on this machine: one, one with those that belong to it, or a folder."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from frostline_client.endings import check_ends
from frostline_client.errors import InvalidError

MAX_FILES = 1_000
# What a folder's network starts with, the first that is there.
_MAINS = ("saved_model.pb", "config.json", "model.onnx")
# Of a folder with a config.json, where its weights are in safetensors, nothing but these is of use.
_HUGGING_FACE = (".json", ".safetensors")
# What belongs to a file, by how its name ends: the same name with another end, or with more behind it.
_OTHER_ENDS = {".caffemodel": (".prototxt",), ".prototxt": (".caffemodel",)}
_MORE_BEHIND = {".onnx": (".data", "_data")}


class NetworkFile(NamedTuple):
    """A file: its name within the network, folders ending with `/`, and where it is."""

    name: str
    path: Path


def network_files(path: Path, companions: Sequence[Path] = ()) -> list[NetworkFile]:
    """Returns the files of the network at `path`, the one to start with first.

    A Caffe model brings the file of the same name with its layers, an ONNX model that with its weights, a
    checkpoint's index its data, a folder all that is in it, links left out. Of a Hugging Face folder with weights in
    safetensors, only they and its configurations go, where they are links to the files of a cache of theirs too.

    Args:
        path: a file or a folder.
        companions: further files, wherever they are.

    Raises:
        OSError: a file is not there.
        InvalidError: it is neither file nor folder; the folder holds no network's files, or more than 1,000; two files
            have one name.
    """
    if path.is_dir():
        files = _in_folder(path)
    else:
        check_ends(path)
        files = [NetworkFile(found.name, found) for found in (path, *_belonging_to(path))]
    for companion in companions:
        check_ends(companion)
    known = {file.path for file in files}
    files += [NetworkFile(companion.name, companion) for companion in companions if companion not in known]
    if len({file.name for file in files}) != len(files):
        raise InvalidError("two files of the network have one name: rename one, there and where it is named")
    if len(files) > MAX_FILES:
        raise InvalidError(f"{path} holds more than {MAX_FILES} files: name the network's own folder")
    return files


def _in_folder(folder: Path) -> list[NetworkFile]:
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _leads_out(path, folder)]
    files = {path.relative_to(folder).as_posix(): path for path in found}
    if "config.json" in files and any(name.endswith(".safetensors") for name in files):
        files = {name: path for name, path in files.items() if name.endswith(_HUGGING_FACE)}
    main = next((name for name in _MAINS if name in files), None)
    main = main or (next(iter(files)) if len(files) == 1 else None)
    if main is None:
        raise InvalidError(f"{folder} holds no {' and no '.join(_MAINS)}: name the network's file in it")
    return [NetworkFile(main, files.pop(main)), *(NetworkFile(name, path) for name, path in files.items())]


def _leads_out(path: Path, folder: Path) -> bool:
    """Whether a file is a link, other than a snapshot's in the Hugging Face cache to the blobs beside the snapshots."""
    if not path.is_symlink():
        return False
    snapshots = folder.resolve().parent
    return snapshots.name != "snapshots" or path.resolve().parent != snapshots.parent / "blobs"


def _belonging_to(path: Path) -> list[Path]:
    others = [path.with_suffix(end) for end in _OTHER_ENDS.get(path.suffix, ())]
    behind = [path.with_name(path.name + end) for end in _MORE_BEHIND.get(path.suffix, ())]
    if path.suffix == ".index":
        behind = sorted(path.parent.glob(f"{glob.escape(path.stem)}.data-*-of-*"))
    return [other for other in [*others, *behind] if other.is_file()]
