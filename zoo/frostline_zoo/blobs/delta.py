"""Deltas: a content as what it takes over from another one, and what is its own.

A version's manifest differs from its parent's in a few digests; as a delta it takes hundreds of bytes instead of
thousands. A delta is zlib-compressed. Unpacked, it is a list of steps, each three little-endian 32-bit numbers and
then bytes of its own: where in the base to copy from, how much, and how many own bytes follow.

The blocks are found as rsync finds them: Tridgell & Mackerras 1996, The rsync algorithm, with the blocks themselves as
keys instead of rolling checksums.
"""

from __future__ import annotations

import struct
import zlib

BLOCK_BYTES = 32
_STEP = struct.Struct("<III")


def encode(content: bytes, base: bytes) -> bytes:
    """Returns `content` as a delta of `base`: ``decode(encode(content, base), base) == content``."""
    blocks = {base[at : at + BLOCK_BYTES]: at for at in range(0, len(base) - BLOCK_BYTES + 1, BLOCK_BYTES)}
    steps: list[bytes] = []
    copied = (0, 0)  # what the step under way copies from the base, before its own bytes
    own = at = 0
    while at < len(content):
        found = blocks.get(content[at : at + BLOCK_BYTES])
        if found is None:
            at += 1
            continue
        length = _equal(content, at, base, found)
        steps.append(_step(*copied, content[own:at]))
        copied = (found, length)
        own = at = at + length
    steps.append(_step(*copied, content[own:]))
    return zlib.compress(b"".join(steps), 9)


def decode(delta: bytes, base: bytes) -> bytes:
    """Returns the content of which `delta` is the delta of `base`.

    Raises:
        ValueError: it is not a delta.
    """
    try:
        steps = zlib.decompress(delta)
        pieces, at = [], 0
        while at < len(steps):
            start, length, own = _STEP.unpack_from(steps, at)
            at += _STEP.size
            pieces += [base[start : start + length], steps[at : at + own]]
            at += own
    except (zlib.error, struct.error) as error:
        raise ValueError("not a delta") from error
    return b"".join(pieces)


def _step(start: int, length: int, own: bytes) -> bytes:
    return _STEP.pack(start, length, len(own)) + own


def _equal(content: bytes, at: int, base: bytes, start: int) -> int:
    """Returns how many bytes are equal from there on."""
    most = min(len(content) - at, len(base) - start)
    length = BLOCK_BYTES
    while length < most and content[at + length] == base[start + length]:
        length += 1
    return length
