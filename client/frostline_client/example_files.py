"""Files and folders that datasets are read from: `.npz`, `.npy`, and folders with one folder of images a class."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_client.endings import check_ends
from frostline_client.errors import InvalidError

Array = npt.NDArray[Any]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def read_arrays(path: Path, split: str | None = None) -> tuple[Array, Array | None]:
    """Returns the examples and labels of a file.

    An `.npz` file holds `x` and `y`, or `x_train` and `y_train` with `x_test` and `y_test`; the labels may be left out.
    An `.npy` file holds examples alone.

    Args:
        split: `train` or `test`, to read only that; None: all there is, train before test.

    Raises:
        InvalidError: the file is damaged, or holds something else.
        OSError: it cannot be read.
    """
    check_ends(path)
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(loaded, np.ndarray):
            with loaded:
                return _chosen(path, loaded, split)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidError(f"{path} is damaged, or not an .npz or .npy file of numbers", reason="BAD_FILE") from error
    if split is not None:
        raise InvalidError(f"{path} holds one array and no split {split!r}: push it without naming a split")
    return loaded, None


def _chosen(path: Path, arrays: Any, split: str | None) -> tuple[Array, Array | None]:
    keys = list(arrays)
    parts = (
        [""] if split is None and "x" in keys else [f"_{part}" for part in ("train", "test") if split in (None, part)]
    )
    parts = [part for part in parts if f"x{part}" in keys]
    if not parts and split is not None:
        held = ", ".join(keys) or "nothing"
        mend = "push it without naming a split" if "x" in keys else f"it needs x_{split} and y_{split}"
        raise InvalidError(f"{path} holds {held} and no split {split!r}: {mend}")
    if not parts:
        raise InvalidError(f"{path} holds {', '.join(keys) or 'nothing'}: it needs x and y, or x_train and y_train")
    x, y = ([arrays[f"{key}{part}"] for part in parts if f"{key}{part}" in keys] for key in "xy")
    if y and len(y) != len(x):
        raise InvalidError(
            f"{path} has labels for some of {', '.join(f'x{part}' for part in parts)} only: give all or none"
        )
    return _joined(path, x), _joined(path, y) if y else None


def _joined(path: Path, arrays: list[Array]) -> Array:
    if len({(array.dtype, array.shape[1:]) for array in arrays}) > 1:
        raise InvalidError(f"{path} has train and test arrays of different shapes or dtypes: push one split of it")
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


@dataclass(frozen=True)
class ImageFolder:
    """The images in a folder with one folder a class.

    Attributes:
        class_names: the names of the class folders, sorted.
        files: the images' paths within the folder, by class and name.
        labels: (n,), the class of each.
        others: what is in the way, by path, and why.
    """

    class_names: tuple[str, ...]
    files: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    others: dict[str, str]


def read_folder(path: Path) -> ImageFolder:
    """Lists the images in a folder; they are not opened. Names that start with a dot are passed over.

    Raises:
        InvalidError: there is no class folder, or one without images.
        OSError: a folder cannot be read.
    """
    classes, others = [], {}
    for entry in _entries(path):
        if entry.is_dir():
            classes.append(entry.name)
        elif _is_image(entry.name):
            others[entry.name] = "is in no class folder"
    if not classes:
        raise InvalidError(f"{path} has no class folders: put the images of each class into a folder of its name")
    files: list[str] = []
    counts = []
    for name in classes:
        before = len(files)
        for entry in _entries(path / name):
            file = f"{name}/{entry.name}"
            if entry.is_dir():
                others[file] = "is a folder in a class folder"
            elif _is_image(entry.name) and not entry.is_file():
                others[file] = "is not a file with contents"
            elif _is_image(entry.name):
                files.append(file)
            else:
                others[file] = f"is not an image: {', '.join(IMAGE_SUFFIXES)} are read"
        counts.append(len(files) - before)
        if not counts[-1]:
            raise InvalidError(f"class folder {path / name} has no images: add some, or remove the folder")
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), counts)
    return ImageFolder(tuple(classes), tuple(files), labels, others)


def _entries(path: Path) -> list[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)
