"""Checkpoints of TensorFlow: an index, which is a table, and shards of data. All that is read is checked by its CRC."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from frostline_zoo.foreign.messages import varint
from frostline_zoo.foreign.saved_model.crc32c import crc32c, masked
from frostline_zoo.foreign.saved_model.messages import message
from frostline_zoo.foreign.saved_model.table import bad, table_entries
from frostline_zoo.tensors import Array, can_be

DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    4: np.dtype("u1"),
    5: np.dtype("<i2"),
    6: np.dtype("i1"),
    9: np.dtype("<i8"),
    10: np.dtype("?"),
    14: np.dtype(ml_dtypes.bfloat16),
    17: np.dtype("<u2"),
    19: np.dtype("<f2"),
    22: np.dtype("<u4"),
    23: np.dtype("<u8"),
}
"""TensorFlow's numbers for types of numbers."""

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_MAX_RANK = 8


class Bundle:
    """One checkpoint: its tensors by key."""

    def __init__(self, files: Mapping[str, memoryview], prefix: str) -> None:
        """Reads the index.

        Args:
            files: holds `{prefix}.index` and `{prefix}.data-00000-of-0000N`.
            prefix: the checkpoint's name.

        Raises:
            InvalidError: there is none of that name, or it is damaged (BAD_CHECKPOINT).
        """
        self._files, self._prefix = files, prefix
        if f"{prefix}.index" not in files:
            raise bad(f"there is no {prefix.rpartition('/')[2][:80]}.index")
        raw = table_entries(files[f"{prefix}.index"])
        header = message("BundleHeader", raw.pop(b"", b""), "the checkpoint's header", "BAD_CHECKPOINT")
        if header.endianness != 0:
            raise bad("its numbers are big-endian")
        self._count = header.shards
        self._entries = {
            key.decode("utf-8", "replace"): message("BundleEntry", value, "the checkpoint's index", "BAD_CHECKPOINT")
            for key, value in raw.items()
        }

    @property
    def keys(self) -> list[str]:
        """The keys of all that is in it, in order."""
        return list(self._entries)

    def is_tensor(self, key: str) -> bool:
        """Whether numbers stand under a key, not text or anything else."""
        entry = self._entries.get(key)
        return entry is not None and entry.dtype in DTYPES and not entry.slices

    def tensor(self, key: str) -> Array:
        """Returns the numbers under a key, not copied.

        Raises:
            InvalidError: there are none, or they are damaged (BAD_CHECKPOINT).
        """
        entry = self._entries.get(key)
        if entry is None:
            raise bad(f"it has no {key[:120]!r}")
        if not self.is_tensor(key):
            raise bad(f"{key[:120]!r} is not one array of numbers")
        dtype, shape = DTYPES[entry.dtype], tuple(side.size for side in entry.shape.sides)
        size = dtype.itemsize * math.prod(shape)
        if not can_be(shape) or len(shape) > _MAX_RANK or size != entry.size:
            raise bad(f"{key[:120]!r} is not as large as its shape")
        content = self._content(entry, key)
        if masked(crc32c(content)) != entry.crc32c:
            raise bad(f"{key[:120]!r} is damaged")
        return np.frombuffer(content, dtype).reshape(shape)

    def fingerprint(self, key: str) -> tuple[int, int]:
        """Returns what two equal arrays have in common: their CRC and their size in bytes."""
        return self._entries[key].crc32c, self._entries[key].size

    def object_graph(self) -> Any:
        """Returns the message that says which object owns which key; None where there is none."""
        entry = self._entries.get(OBJECT_GRAPH)
        if entry is None:
            return None
        stored = self._content(entry, OBJECT_GRAPH)
        # Text is stored as lengths (one here), a checksum of those, and the text itself; the CRC covers the length in
        # four bytes.
        length, at = varint(stored, 0)
        text = bytes(stored[at:])
        if (
            len(text) != 4 + length
            or masked(crc32c(memoryview(length.to_bytes(8, "little")[:4] + text))) != entry.crc32c
        ):
            raise bad("its object graph is damaged")
        return message("TrackableGraph", text[4:], "the object graph", "BAD_CHECKPOINT")

    def _content(self, entry: Any, key: str) -> memoryview:
        content = self._shard(entry.shard)[entry.offset : entry.offset + entry.size]
        if entry.offset < 0 or entry.size < 0 or len(content) != entry.size:
            raise bad(f"{key[:120]!r} is cut short")
        return content

    def _shard(self, number: int) -> memoryview:
        name = f"{self._prefix}.data-{number:05d}-of-{self._count:05d}"
        if name not in self._files:
            raise bad(f"it lacks its data, {name.rpartition('/')[2][:80]}")
        return self._files[name]
