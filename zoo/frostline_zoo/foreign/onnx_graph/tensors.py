"""The tensors of an ONNX file as arrays: their sizes are checked first, and data outside is found among named files."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from onnx import TensorProto

from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.foreign.canvas.held import product
from frostline_zoo.foreign.files import Files
from frostline_zoo.foreign.onnx_graph.refusals import bad_onnx
from frostline_zoo.tensors import Array, can_be

MAX_TENSOR_BYTES = 2 << 30
_MAX_RANK = 8
_KEYS = {"location", "offset", "length", "checksum"}

DTYPES: dict[int, np.dtype[Any]] = {
    TensorProto.FLOAT: np.dtype("<f4"),
    TensorProto.UINT8: np.dtype("u1"),
    TensorProto.INT8: np.dtype("i1"),
    TensorProto.UINT16: np.dtype("<u2"),
    TensorProto.INT16: np.dtype("<i2"),
    TensorProto.INT32: np.dtype("<i4"),
    TensorProto.INT64: np.dtype("<i8"),
    TensorProto.BOOL: np.dtype("?"),
    TensorProto.FLOAT16: np.dtype("<f2"),
    TensorProto.DOUBLE: np.dtype("<f8"),
    TensorProto.UINT32: np.dtype("<u4"),
    TensorProto.UINT64: np.dtype("<u8"),
    TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
}
# Where numbers are listed one by one; all other types are listed as int32.
_LISTED_IN: dict[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data",
    TensorProto.UINT64: "uint64_data",
}


def array_of(tensor: TensorProto, files: Files, main: str, bulk: memoryview | None = None) -> Array:
    """Returns a tensor's numbers.

    Args:
        tensor: it.
        files: the files of the import; data outside is read from the one of exactly the tensor's location.
        main: the name of the ONNX file itself.
        bulk: its bytes, where they were taken out of it.

    Raises:
        InvalidError: it holds more or less than its shape says (BAD_ONNX), or points outside the files
            (EXTERNAL_REFERENCE).
        ExhaustedError: it takes more than 2 GiB (LIMIT_PARAMS).
    """
    name = tensor.name[:80]
    dtype = DTYPES.get(tensor.data_type)
    shape = tuple(tensor.dims)
    if dtype is None or len(shape) > _MAX_RANK or not can_be(shape):
        raise bad_onnx(f"tensor {name!r} is of an unknown type, or of a shape that cannot be")
    count = product(shape)
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        numbers = np.frombuffer(_outside(tensor, files, main, count * dtype.itemsize), dtype)
    elif bulk is not None or tensor.HasField("raw_data"):
        raw = tensor.raw_data if bulk is None else bulk
        if len(raw) != count * dtype.itemsize:
            raise bad_onnx(f"tensor {name!r} holds {len(raw)} bytes for the shape {shape}")
        numbers = np.frombuffer(raw, dtype)
    else:
        numbers = _listed(tensor, dtype)
    if count * dtype.itemsize > MAX_TENSOR_BYTES:
        text = f"tensor {name!r} takes more than {MAX_TENSOR_BYTES >> 30} GiB: take a smaller network"
        raise ExhaustedError(text, reason="LIMIT_PARAMS")
    if numbers.size != count:
        raise bad_onnx(f"tensor {name!r} holds {numbers.size} numbers for the shape {shape}")
    return numbers.reshape(shape)


def _listed(tensor: TensorProto, dtype: np.dtype[Any]) -> Array:
    field = _LISTED_IN.get(tensor.data_type, "int32_data")
    listed = np.array(getattr(tensor, field))
    if tensor.data_type in (TensorProto.FLOAT16, TensorProto.BFLOAT16):  # its bits, as whole numbers
        return listed.astype("<u2").view(dtype)
    return listed.astype(dtype)


def _outside(tensor: TensorProto, files: Files, main: str, size: int) -> memoryview:
    name = tensor.name[:80]
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if len(entries) != len(tensor.external_data) or not {"location"} <= entries.keys() <= _KEYS:
        raise _refused(name, "says in an unknown way where its data is")
    location = entries["location"]
    if location == main or location not in files:
        raise _refused(name, "keeps its data in a file that was not sent along, under that very name")
    content = files.view(location)
    offset, length = (_whole(entries.get(key, default)) for key, default in (("offset", "0"), ("length", str(size))))
    if offset is None or length != size or offset + size > len(content):
        raise _refused(name, "keeps its data where that file does not have it")
    return content[offset : offset + size]


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _refused(name: str, what: str) -> InvalidError:
    text = f"tensor {name!r} {what}: send the file as the export wrote it, all its files together"
    return InvalidError(text, reason="EXTERNAL_REFERENCE")
