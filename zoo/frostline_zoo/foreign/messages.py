"""Protocol Buffers messages, taken apart field by field, without a schema and without recursion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from frostline_zoo.errors import ExhaustedError, InvalidError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_FIELD_BYTES = 2 << 30


class Field(NamedTuple):
    """One field: its number, its wire type, and its value, a number or a view of its bytes."""

    number: int
    wire_type: int
    value: int | memoryview

    @property
    def bytes(self) -> memoryview:
        """The value of a field of bytes, text or a message. Raises InvalidError."""
        if not isinstance(self.value, memoryview):
            raise bad_message()
        return self.value


def fields(message: memoryview) -> Iterator[Field]:
    """Yields the fields of a message, in order.

    Raises:
        InvalidError: it is none (BAD_MESSAGE).
        ExhaustedError: a field says that it takes more than 2 GiB (LIMIT_PARAMS).
    """
    at, end = 0, len(message)
    while at < end:
        tag, at = varint(message, at)
        number, wire_type = tag >> 3, tag & 7
        value: int | memoryview
        if wire_type == VARINT:
            value, at = varint(message, at)
        elif wire_type in (FIXED64, FIXED32):
            size = 8 if wire_type == FIXED64 else 4
            value, at = message[at : at + size], at + size
        elif wire_type == BYTES:
            size, at = varint(message, at)
            if size > MAX_FIELD_BYTES:
                text = "the file says that a part of it takes more than 2 GiB: take a smaller network"
                raise ExhaustedError(text, reason="LIMIT_PARAMS")
            value, at = message[at : at + size], at + size
        else:
            raise bad_message()
        if at > end or number == 0:
            raise bad_message()
        yield Field(number, wire_type, value)


def packed_varints(packed: memoryview) -> list[int]:
    """Returns whole numbers that stand one after the other in one field. Raises InvalidError."""
    numbers, at = [], 0
    while at < len(packed):
        number, at = varint(packed, at)
        numbers.append(number)
    return numbers


def bad_message() -> InvalidError:
    """Returns the refusal of bytes that are no message."""
    return InvalidError("the file is damaged: it breaks off, or holds what its format does not", reason="BAD_MESSAGE")


def varint(message: memoryview, at: int) -> tuple[int, int]:
    """Returns the number that starts at a place, and where it ends. Raises InvalidError."""
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
        shift += 7
    raise bad_message()
