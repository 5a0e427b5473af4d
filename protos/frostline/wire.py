"""Messages with much data in them, written and read without most of the copies that protobuf makes of it.

A message is its fields one after the other, in any order. So the field `data` is put behind what protobuf writes of
the others, and is a view of what came where protobuf reads the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_VARINT, _LENGTH_DELIMITED = 0, 2


class WithData:
    """A message whose `data` stands apart; its other fields are read as those of the message itself."""

    def __init__(self, message: Any, data: bytes | memoryview) -> None:
        """Takes a message without its `data`, and that, which must not change until it is sent."""
        self._message = message
        self.data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)

    def encode(self) -> bytes:
        """Returns the message in protobuf's encoding."""
        tag = self._message.DESCRIPTOR.fields_by_name["data"].number << 3 | _LENGTH_DELIMITED
        return b"".join((self._message.SerializeToString(), _varint(tag), _varint(len(self.data)), self.data))


def serializer_of(plain: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """Returns what writes messages as `plain` does, and those with data apart too."""
    return lambda message: message.encode() if isinstance(message, WithData) else plain(message)


def deserializer_of(plain: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Returns what reads messages as `plain` does, a stub's `FromString`; where they have data, that stands apart.

    Where data is one of several fields that a message may have, the message is left whole.
    """
    kind = getattr(plain, "__self__", None)
    field = kind.DESCRIPTOR.fields_by_name.get("data") if kind is not None else None
    if field is None or field.type != field.TYPE_BYTES or field.containing_oneof is not None:
        return plain
    tag = field.number << 3 | _LENGTH_DELIMITED
    return lambda raw: _read(plain, tag, raw)


def _read(plain: Callable[[bytes], Any], data_tag: int, raw: bytes) -> Any:
    view, data, others, place = memoryview(raw), memoryview(b""), [], 0
    try:
        while place < len(raw):
            start = place
            tag, place = _read_varint(raw, place)
            size, end = _read_varint(raw, place)
            if tag & 7 == _LENGTH_DELIMITED:
                place, end = end, end + size
            elif tag & 7 != _VARINT:
                return plain(raw)  # none of our fields: protobuf knows what to make of it
            if tag == data_tag:
                data = view[place:end]
            else:
                others.append(view[start:end])
            place = end
    except IndexError:
        return plain(raw)  # which says what is wrong with it
    return plain(raw) if place > len(raw) else WithData(plain(b"".join(others)), data)


def _varint(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _read_varint(raw: bytes, place: int) -> tuple[int, int]:
    """Returns a number and where it ends. Raises IndexError where it does not."""
    number = shift = 0
    while raw[place] > 0x7F:
        number |= (raw[place] & 0x7F) << shift
        place, shift = place + 1, shift + 7
    return number | raw[place] << shift, place + 1
