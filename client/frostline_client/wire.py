"""Messages with much data in them, written with one copy of it instead of the four that protobuf makes.

What protobuf writes of a message may be followed by one more field of it. So the small fields are left to protobuf,
and the data goes behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_LENGTH_DELIMITED = 2


class WithData:
    """A message whose field `data` is given apart."""

    def __init__(self, message: Any, data: bytes | memoryview) -> None:
        """Takes a message without its `data`, and that, which must not change until it is sent."""
        self._message = message
        self._data = data

    def encode(self) -> bytes:
        """Returns the message in protobuf's encoding."""
        tag = self._message.DESCRIPTOR.fields_by_name["data"].number << 3 | _LENGTH_DELIMITED
        size = len(self._data)
        return b"".join((self._message.SerializeToString(), _varint(tag), _varint(size), self._data))


def serializer_of(plain: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """Returns what writes messages as `plain` does, and those with data apart too."""
    return lambda message: message.encode() if isinstance(message, WithData) else plain(message)


def _varint(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])
