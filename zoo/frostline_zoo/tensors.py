"""Named arrays as bytes: canonical safetensors.

The same arrays always give the same bytes, whatever their order in the dict or in memory, and they are those that
safetensors writes: the widest dtypes first, then by name; no `__metadata__`; values little-endian and C-ordered. It is
written here since the library copies every array three times. A reader maps the file and copies nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from frostline_zoo.errors import CorruptError

Array = npt.NDArray[Any]

MAX_HEADER_BYTES = 8 << 20
_MAX_RANK = 64  # numpy's; the product of more sides may take minutes

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "I16": np.dtype("<i2"),
    "U16": np.dtype("<u2"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I32": np.dtype("<i4"),
    "U32": np.dtype("<u4"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
}
"""By the names that safetensors has for them, and in the order in which it puts arrays from the last to the first."""

NAMES = {dtype: name for name, dtype in DTYPES.items()}
_RANKS = {name: rank for rank, name in enumerate(DTYPES)}


def can_be(shape: Sequence[int]) -> bool:
    """Whether an array of the right size can have a shape: of one without elements NumPy multiplies the other sides."""
    return min(shape, default=0) >= 0 and (0 not in shape or math.prod(side or 1 for side in shape) < 1 << 60)


def encode_tensors(tensors: Mapping[str, Array]) -> bytes:
    """Returns the one canonical safetensors encoding of `tensors`, whose dtypes are among `DTYPES`."""
    named = [(name, NAMES[array.dtype.newbyteorder("<")], array) for name, array in tensors.items()]
    named.sort(key=lambda entry: (-_RANKS[entry[1]], entry[0]))
    header = tensors_header([(name, dtype, array.shape) for name, dtype, array in named])
    return b"".join([header, *(_bytes_of(array, DTYPES[dtype]) for _, dtype, array in named)])


def tensors_header(tensors: Sequence[tuple[str, str, tuple[int, ...]]]) -> bytes:
    """Returns what `encode_tensors` puts before the arrays, for those who write large ones piece by piece.

    Args:
        tensors: the name, dtype (as in `DTYPES`) and shape of each in the canonical order.
    """
    entries, end = {}, 0
    for name, dtype, shape in tensors:
        start, end = end, end + math.prod(shape) * DTYPES[dtype].itemsize
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _bytes_of(array: Array, dtype: np.dtype[Any]) -> memoryview:
    """Returns the values in C order, as they are in memory where they stand so already."""
    return np.ascontiguousarray(array, dtype).reshape(-1).view(np.uint8).data


def decode_tensors(content: bytes | memoryview) -> dict[str, Array]:
    """Returns the arrays in `content`, as read-only views of it.

    Raises:
        CorruptError: `content` is not safetensors: a header that lies, offsets out of order, holes, or a tail.
    """
    view = np.frombuffer(content, np.uint8)
    if len(view) < 8:
        raise CorruptError("not a tensor file: it is shorter than its header", reason="BAD_SAFETENSORS")
    header_size = int.from_bytes(view[:8].tobytes(), "little")
    if header_size > min(MAX_HEADER_BYTES, len(view) - 8):
        raise CorruptError("not a tensor file: its header is longer than allowed", reason="BAD_SAFETENSORS")
    try:
        header = json.loads(view[8 : 8 + header_size].tobytes())
    except (ValueError, RecursionError) as error:
        raise _lies() from error
    return arrays_in(header, view[8 + header_size :])


def arrays_in(header: Any, body: memoryview | Array) -> dict[str, Array]:
    """Returns the arrays in the bytes after a header of safetensors, as read-only views of them.

    Raises:
        CorruptError: the header does not describe them.
    """
    view = np.frombuffer(body, np.uint8)
    try:
        entries = sorted(header.items(), key=lambda entry: entry[1]["data_offsets"])
        tensors, end = {}, 0
        for name, entry in entries:
            dtype, shape = DTYPES[entry["dtype"]], tuple(int(side) for side in entry["shape"])
            start, stop = entry["data_offsets"]
            if (
                len(shape) > _MAX_RANK
                or start != end
                or stop - start != dtype.itemsize * int(np.prod(shape, dtype=object))
                or not can_be(shape)
            ):
                raise ValueError(name)
            tensors[name], end = view[start:stop].view(dtype).reshape(shape), stop
        if end != len(view):
            raise ValueError("tail")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise _lies() from error
    return tensors


def _lies() -> CorruptError:
    return CorruptError("not a tensor file: its header does not describe its bytes", reason="BAD_SAFETENSORS")


def map_tensors(path: Path) -> dict[str, Array]:
    """Returns the arrays in the file at `path`, mapped: read from disk only where they are touched.

    Raises:
        CorruptError: the file is not safetensors.
    """
    if path.stat().st_size == 0:  # which cannot be mapped
        return decode_tensors(b"")
    return decode_tensors(np.memmap(path, np.uint8, mode="r").data)
