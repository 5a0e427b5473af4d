"""CRC-32C, the checksum of TensorFlow's checkpoints.

It is linear: the checksum of two pieces follows from those of each. So a long content is cut into pieces of equal
length, and all of these are worked through at once, a byte of each at a time.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from frostline_zoo.tensors import Array

_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
_ALL = 0xFFFFFFFF
_SMALL = 512
_MOST_PIECES = 1 << 14


def crc32c(content: memoryview) -> int:
    """Returns the CRC-32C of bytes."""
    data = np.frombuffer(content, np.uint8)
    state = _ALL
    if len(data) >= _SMALL:
        pieces = min(math.isqrt(len(data)), _MOST_PIECES)
        length = len(data) // pieces
        done = pieces * length
        shifted = _zero_bytes(length)
        for each in _states(data[:done].reshape(pieces, length)).tolist():
            state = _applied(shifted, state) ^ each
        data = data[done:]
    table = _TABLE_LIST
    for byte in data.tolist():
        state = table[(state ^ byte) & 255] ^ (state >> 8)
    return state ^ _ALL


def masked(crc: int) -> int:
    """Returns a CRC as it is stored next to what it covers."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & _ALL


def _states(pieces: Array) -> Array:
    """Returns the state after each row of bytes, started from 0: (pieces, length) -> (pieces,)."""
    states: Array = np.zeros(len(pieces), np.uint32)
    for column in np.ascontiguousarray(pieces.T):
        states = _TABLE[(states ^ column) & 255] ^ (states >> 8)
    return states


def _table() -> Array:
    table: Array = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1) ^ np.where(table & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    return table


_TABLE = _table()
_TABLE_LIST: list[int] = _TABLE.tolist()


@lru_cache(maxsize=64)
def _zero_bytes(count: int) -> tuple[int, ...]:
    """Returns what `count` zero bytes make of a state, as the images of its 32 bits."""
    result, power = tuple(1 << bit for bit in range(32)), tuple(_step(1 << bit) for bit in range(32))
    while count:
        if count & 1:
            result = tuple(_applied(power, image) for image in result)
        power = tuple(_applied(power, image) for image in power)
        count >>= 1
    return result


def _step(state: int) -> int:
    return _TABLE_LIST[state & 255] ^ (state >> 8)


def _applied(images: tuple[int, ...], state: int) -> int:
    result = 0
    while state:
        low = state & -state
        result ^= images[low.bit_length() - 1]
        state ^= low
    return result
