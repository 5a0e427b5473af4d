"""HDF5 files read as data: numbers in groups, and nothing else.

HDF5 can point at other files, at itself and at programs. A file is walked through once before anything in it is used:
links other than plain ones, external and virtual storage, types that are not numbers, unknown filters and arrays that
claim far more than the file holds are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import h5py
import ml_dtypes
import numpy as np

from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.foreign.tree import Group, Stored
from frostline_zoo.tensors import Array

MAX_OBJECTS = 100_000
MAX_DEPTH = 60
MAX_RANK = 8
MAX_ARRAY_BYTES = 2 << 30
MAX_EXPANSION = 20
_SMALL = 64 << 10
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


@contextmanager
def opened(source: BinaryIO) -> Iterator[h5py.File]:
    """Opens an HDF5 file after a walk through all of it.

    Raises:
        InvalidError: it is damaged (BAD_HDF5), or points outside itself (EXTERNAL_REFERENCE).
        ExhaustedError: it declares more than it holds (LIMIT_INFLATE).
    """
    try:
        with h5py.File(source, "r") as file:
            if file.userblock_size:
                raise bad("it starts with foreign bytes")
            _check(file, set(), [0], 0)
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise bad("it is damaged or cut short") from error


def bad(what: str) -> InvalidError:
    """Returns the refusal of a damaged file."""
    return InvalidError(f"the HDF5 file cannot be read: {what}; save the network again", reason="BAD_HDF5")


def _check(group: h5py.Group, path: set[int], count: list[int], depth: int) -> None:
    address = h5py.h5o.get_info(group.id).addr
    if address in path or depth > MAX_DEPTH:
        raise bad("its groups contain themselves")
    for name in group:
        count[0] += 1
        if count[0] > MAX_OBJECTS:
            raise ExhaustedError(f"the HDF5 file holds more than {MAX_OBJECTS} objects", reason="LIMIT_OBJECTS")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise InvalidError(
                f"the HDF5 file links {name[:80]!r} elsewhere: save the network again", reason="EXTERNAL_REFERENCE"
            )
        member = group[name]
        if isinstance(member, h5py.Group):
            _check(member, path | {address}, count, depth + 1)
        elif isinstance(member, h5py.Dataset):
            _check_array(member, name)
        else:
            raise bad(f"{name[:80]!r} is neither a group nor an array")


def _check_array(dataset: h5py.Dataset, name: str) -> None:
    if dataset.external or dataset.is_virtual:
        raise InvalidError(f"the HDF5 file keeps {name[:80]!r} in another file", reason="EXTERNAL_REFERENCE")
    if dataset.dtype.kind not in "biufS" and not is_bfloat16(dataset):
        raise bad(f"{name[:80]!r} holds something other than numbers")
    if dataset.shape is None or len(dataset.shape) > MAX_RANK:
        raise bad(f"{name[:80]!r} is not an array of at most {MAX_RANK} dimensions")
    made = dataset.id.get_create_plist()
    if {made.get_filter(at)[0] for at in range(made.get_nfilters())} - _FILTERS:
        raise bad(f"{name[:80]!r} is packed in an unknown way")
    size_bytes = math.prod(dataset.shape) * dataset.dtype.itemsize
    if size_bytes > MAX_ARRAY_BYTES or size_bytes > _SMALL + MAX_EXPANSION * dataset.id.get_storage_size():
        text = f"the HDF5 file declares {size_bytes:,} bytes for {name[:80]!r}, far more than it holds"
        raise ExhaustedError(text, reason="LIMIT_INFLATE")


def is_bfloat16(dataset: h5py.Dataset) -> bool:
    """Whether an array is bfloat16 as Keras writes it: HDF5 has no such type, so it is two bytes and an attribute."""
    opaque = dataset.dtype.kind == "V" and dataset.dtype.names is None and dataset.dtype.itemsize == 2
    return opaque and text_attribute(dataset, "dtype") == "bfloat16"


def text_attribute(group: Any, name: str) -> str | None:
    """Returns an attribute that is text; None where there is none."""
    value = group.attrs.get(name)
    if value is None:
        return None
    if isinstance(value, bytes | np.bytes_):
        return bytes(value).decode()
    if isinstance(value, str):
        return value
    raise bad(f"its {name} is not text")


def tree(group: h5py.Group, names: Iterable[str]) -> Group:
    """Returns the arrays of numbers below those members of a group, not read yet.

    An array that has several names in the file is one.
    """
    return _tree(group, names, {})


def _tree(group: h5py.Group, names: Iterable[str], seen: dict[int, Stored]) -> Group:
    members: dict[str, Group | Stored] = {}
    for name in names:
        member = group[name]
        if isinstance(member, h5py.Group):
            members[name] = _tree(member, member, seen)
        elif member.dtype.kind != "S":
            stored = _BFloat16(member) if is_bfloat16(member) else member
            members[name] = seen.setdefault(h5py.h5o.get_info(member.id).addr, stored)
    return Group(_names(group, "weight_names"), members)


class _BFloat16:
    """An array of bfloat16, for which HDF5 has no type."""

    dtype: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        self.shape: tuple[int, ...] = dataset.shape

    def __getitem__(self, key: Any) -> Array:
        array: Array = np.asarray(self._dataset[key]).view(self.dtype)
        return array


def _names(group: h5py.Group, name: str) -> tuple[str, ...]:
    """Returns an attribute that is a list of names; Keras cuts a long one into `name0`, `name1`, ..."""
    if name in group.attrs:
        pieces = [group.attrs[name]]
    else:
        pieces = []
        while f"{name}{len(pieces)}" in group.attrs:
            pieces.append(group.attrs[f"{name}{len(pieces)}"])
    listed = [each for piece in pieces for each in np.asarray(piece).reshape(-1).tolist()]
    return tuple(each.decode() if isinstance(each, bytes) else str(each) for each in listed)
