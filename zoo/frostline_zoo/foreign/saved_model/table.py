"""Sorted tables of keys and values, as TensorFlow writes a checkpoint's index: LevelDB's format, read from memory.

blocks      entries that share the starts of their keys; after each block how it is packed, and its CRC-32C
index       a block: for each block of entries, where it is
the end     48 bytes: where the index is, and a magic number
"""

from __future__ import annotations

from collections.abc import Iterator

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign.messages import varint
from frostline_zoo.foreign.saved_model.crc32c import crc32c, masked

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
_TRAILER_BYTES = 5
_MAX_BLOCK_BYTES = 64 << 20
_MAX_ENTRIES = 200_000


def bad(what: str) -> InvalidError:
    """Returns the refusal of a damaged checkpoint."""
    return InvalidError(f"the checkpoint cannot be read: {what}; save it again", reason="BAD_CHECKPOINT")


def table_entries(content: memoryview) -> dict[bytes, bytes]:
    """Returns all keys of a table with their values.

    Raises:
        InvalidError: the table is damaged, cut short, or larger than any real one (BAD_CHECKPOINT, BAD_MESSAGE).
    """
    footer = content[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or int.from_bytes(footer[-8:], "little") != _MAGIC:
        raise bad("its index does not end as one does")
    at = 0
    for _ in range(2):  # the first handle is of a block that holds nothing here
        _, at = varint(footer, at)
    found: dict[bytes, bytes] = {}
    for _, handle in _entries(_block(content, footer[at:])):
        for key, value in _entries(_block(content, memoryview(handle))):
            found[key] = value
            if len(found) > _MAX_ENTRIES:
                raise bad(f"its index has more than {_MAX_ENTRIES} entries")
    return found


def _block(content: memoryview, handle: memoryview) -> memoryview:
    offset, at = varint(handle, 0)
    size, _ = varint(handle, at)
    whole = content[offset : offset + size + _TRAILER_BYTES]
    if size > _MAX_BLOCK_BYTES or len(whole) != size + _TRAILER_BYTES:
        raise bad("its index is cut short")
    if masked(crc32c(whole[: size + 1])) != int.from_bytes(whole[size + 1 :], "little"):
        raise bad("its index is damaged")
    packing = whole[size]
    if packing > 1:
        raise bad("its index is packed in an unknown way")
    return memoryview(_unpacked(whole[:size])) if packing else whole[:size]


def _entries(block: memoryview) -> Iterator[tuple[bytes, bytes]]:
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise bad("its index is damaged")
    key, at = b"", 0
    while at < end:
        shared, at = varint(block, at)
        own, at = varint(block, at)
        size, at = varint(block, at)
        if shared > len(key) or at + own + size > end:
            raise bad("its index is damaged")
        key = key[:shared] + bytes(block[at : at + own])
        at += own
        yield key, bytes(block[at : at + size])
        at += size


def _unpacked(packed: memoryview) -> bytes:
    """Returns what Snappy packed. Source: the Snappy compressed format description, google/snappy."""
    size, at = varint(packed, 0)
    if size > _MAX_BLOCK_BYTES:
        raise bad("its index unpacks to too much")
    out = bytearray()
    while at < len(packed) and len(out) <= size:
        tag = packed[at]
        kind, at = tag & 3, at + 1
        if kind == 0:
            length = tag >> 2
            if length >= 60:
                extra = length - 59
                length = int.from_bytes(packed[at : at + extra], "little")
                at += extra
            out += packed[at : at + length + 1]
            at += length + 1
            continue
        width = (1, 2, 4)[kind - 1]
        offset = int.from_bytes(packed[at : at + width], "little") | ((tag >> 5) << 8 if kind == 1 else 0)
        length = (tag >> 2 & 7) + 4 if kind == 1 else (tag >> 2) + 1
        at += width
        if not 0 < offset <= len(out):
            raise bad("its index is damaged")
        for _ in range(length):  # byte by byte: a copy may reach into itself
            out.append(out[-offset])
    if len(out) != size:
        raise bad("its index is damaged")
    return bytes(out)
