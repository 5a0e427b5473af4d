"""The weights in a .caffemodel, by layer; all else that stands in it is left alone."""

from __future__ import annotations

import numpy as np

from frostline_zoo.errors import ExhaustedError
from frostline_zoo.foreign.caffe_network.refusals import bad_caffe
from frostline_zoo.foreign.canvas.held import Constant, product
from frostline_zoo.foreign.messages import BYTES, FIXED32, VARINT, Field, fields, packed_varints
from frostline_zoo.tensors import Array, can_be

MAX_BLOB_BYTES = 2 << 30
MAX_BLOBS = 100_000
# Field numbers of NetParameter: its layers, and those of the older form; and in each the numbers of name and blobs.
_LAYERS = {100: (1, 7), 2: (4, 6)}
# Of BlobProto: the four sides of the older form, the numbers, and the shape.
_SIDES, _DATA, _SHAPE, _DOUBLES = (1, 2, 3, 4), 5, 7, 8


def blobs_of(content: memoryview) -> dict[str, list[Constant]]:
    """Returns the blobs of every layer that has some, by its name.

    Raises:
        InvalidError: the file is damaged (BAD_MESSAGE), or a blob holds another number of numbers than its shape says
            (BAD_CAFFE).
        ExhaustedError: a blob takes more than 2 GiB (LIMIT_PARAMS), or there are more than 100,000 (LIMIT_LAYERS).
    """
    found: dict[str, list[Constant]] = {}
    count = 0
    for field in fields(content):
        if field.number not in _LAYERS or field.wire_type != BYTES:
            continue
        name_number, blob_number = _LAYERS[field.number]
        name, blobs = "", []
        for part in fields(field.bytes):
            if part.number == name_number and part.wire_type == BYTES:
                name = bytes(part.bytes).decode("utf-8", "replace")
            elif part.number == blob_number and part.wire_type == BYTES:
                blobs.append(part.bytes)
        count += len(blobs)
        if count > MAX_BLOBS:
            raise ExhaustedError("the .caffemodel has more than 100,000 blobs: take a smaller", reason="LIMIT_LAYERS")
        if blobs:
            if name in found:
                raise bad_caffe(f"its .caffemodel has weights for {name[:80]!r} twice")
            found[name] = [Constant(_array(blob, name), (f"{name}/{at}",)) for at, blob in enumerate(blobs)]
    return found


def _array(blob: memoryview, layer: str) -> Array:
    sides: dict[int, int] = {}
    shape: list[int] | None = None
    pieces: list[Array] = []
    singles: list[bytes] = []
    for field in fields(blob):
        if field.number in _SIDES and field.wire_type == VARINT and isinstance(field.value, int):
            sides[field.number] = field.value
        elif field.number == _SHAPE and field.wire_type == BYTES:
            shape = _dims(field)
        elif field.number in (_DATA, _DOUBLES) and field.wire_type == BYTES:
            dtype = np.dtype("<f4" if field.number == _DATA else "<f8")
            if len(field.bytes) % dtype.itemsize:
                raise bad_caffe(f"a blob of layer {layer[:80]!r} breaks off")
            pieces.append(np.frombuffer(field.bytes, dtype))
        elif field.number == _DATA and field.wire_type == FIXED32:
            singles.append(bytes(field.bytes))
    if singles:
        pieces.append(np.frombuffer(b"".join(singles), "<f4"))
    shape = [sides.get(number, 1) for number in _SIDES] if shape is None else shape
    if product(shape) * 4 > MAX_BLOB_BYTES:
        text = f"a blob of layer {layer[:80]!r} says that it takes more than 2 GiB: take a smaller network"
        raise ExhaustedError(text, reason="LIMIT_PARAMS")
    numbers = pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0, np.float32), *pieces])
    if numbers.size != product(shape) or len(shape) > 8 or not can_be(shape):
        raise bad_caffe(f"a blob of layer {layer[:80]!r} holds {numbers.size} numbers for the shape {tuple(shape[:8])}")
    return numbers.reshape(shape)


def _dims(shape: Field) -> list[int]:
    dims: list[int] = []
    for field in fields(shape.bytes):
        if field.number == 1 and isinstance(field.value, int):
            dims.append(field.value)
        elif field.number == 1:
            dims.extend(packed_varints(field.bytes))
    return dims
