"""The weights of an ONNX file apart from the rest of it: a parser copies them, and hands out copies of the copies."""

from __future__ import annotations

from collections.abc import Iterator

from frostline_zoo.foreign.messages import BYTES, Field, fields

Piece = bytes | memoryview

# Field numbers: ModelProto.graph, GraphProto.initializer, TensorProto.raw_data.
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9


def apart(model: memoryview) -> tuple[bytes, dict[int, memoryview]]:
    """Returns a model's message without the bytes of its initializers, and those bytes by the initializer's number.

    An initializer whose bytes were taken out has none at all there.

    Raises:
        InvalidError, ExhaustedError: it is no message.
    """
    taken: dict[int, memoryview] = {}
    return b"".join(_model(model, taken)), taken


def _model(model: memoryview, taken: dict[int, memoryview]) -> Iterator[Piece]:
    count = 0
    for field in fields(model):
        if field.number != _GRAPH or field.wire_type != BYTES:
            yield from _as_it_was(field)
            continue
        graph: list[Piece] = []
        for inner in fields(field.bytes):
            if inner.number == _INITIALIZER and inner.wire_type == BYTES:
                graph += _enclosed(inner, _tensor(inner.bytes, count, taken))
                count += 1
            else:
                graph += _as_it_was(inner)
        yield from _enclosed(field, graph)


def _tensor(tensor: memoryview, number: int, taken: dict[int, memoryview]) -> list[Piece]:
    left: list[Piece] = []
    for field in fields(tensor):
        if field.number == _RAW_DATA and field.wire_type == BYTES:
            taken[number] = field.bytes  # the last one counts, as it does for a parser
        else:
            left += _as_it_was(field)
    return left


def _as_it_was(field: Field) -> list[Piece]:
    tag = _varint(field.number << 3 | field.wire_type)
    if isinstance(field.value, int):
        return [tag, _varint(field.value)]
    return _enclosed(field, [field.value]) if field.wire_type == BYTES else [tag, field.value]


def _enclosed(field: Field, pieces: list[Piece]) -> list[Piece]:
    return [_varint(field.number << 3 | BYTES), _varint(sum(map(len, pieces))), *pieces]


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])
