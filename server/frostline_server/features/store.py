"""The feature store: what trunks put out, row by row, under (trunk digest, example digest, view).

    ROOT/<hex of the trunk digest>/rows.json          one row's shape and dtype
    ROOT/<hex of the trunk digest>/00000000-*.safetensors   segments

Any file of it may be deleted, cut short or changed at any time: `read` answers only rows whose checksum holds, and what
it does not answer is computed again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_server.features.checksums import Words, as_words, from_words, row_checksums
from frostline_server.features.segment import Segment, write_segment
from frostline_zoo.errors import CorruptError

Array = npt.NDArray[Any]
_DESCRIPTION = "rows.json"


@dataclass(frozen=True)
class TrunkInfo:
    """What is stored of one trunk: `row_count` rows of `shape` and `dtype`, in `size_bytes` on disk."""

    digest: str
    row_count: int
    size_bytes: int
    shape: tuple[int, ...]
    dtype: str


class FeatureStore:
    """Features of any number of trunks, in one folder, of at most `budget_bytes`; None: as many as the disk takes."""

    def __init__(self, root: Path, budget_bytes: int | None = None) -> None:
        self._root = root
        self.budget_bytes = budget_bytes

    def open(self, trunk: str, shape: tuple[int, ...], dtype: str) -> TrunkRows:
        """Returns the rows of one trunk, each of `shape` and `dtype`."""
        return TrunkRows(self._root / trunk.removeprefix("sha256:"), trunk, shape, dtype)

    def trunks(self) -> list[TrunkInfo]:
        """Returns what is stored, by digest."""
        return sorted(self._describe_all(), key=lambda info: info.digest)

    def _describe_all(self) -> Iterator[TrunkInfo]:
        for folder in self._root.glob("[0-9a-f]*"):
            try:
                described = json.loads((folder / _DESCRIPTION).read_bytes())
                shape, dtype = tuple(described["shape"]), str(described["dtype"])
                rows = TrunkRows(folder, f"sha256:{folder.name}", shape, dtype)
            except (OSError, ValueError, KeyError, TypeError):
                continue
            yield TrunkInfo(rows.trunk, rows.count(), rows.size_bytes(), shape, dtype)


class TrunkRows:
    """The rows of one trunk."""

    def __init__(self, folder: Path, trunk: str, shape: tuple[int, ...], dtype: str) -> None:
        self.trunk = trunk
        self.shape = shape
        self.dtype = dtype
        self._folder = folder
        self._segments: list[Segment] = []
        self._hashes = np.empty(0, np.uint64)  # sorted; beside it, where each key's row is
        self._segment_of = np.empty(0, np.int32)
        self._place_of = np.empty(0, np.int64)
        self._next_sequence = 0
        row_bytes = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=int))
        self._row_words = -(-row_bytes // 8)
        if folder.is_dir():
            self._load()

    def read(self, keys: Words, out: Array) -> npt.NDArray[np.bool_]:
        """Copies the rows that are there and whole into their places in `out`; returns which those are.

        Args:
            keys: (n, 5), see `feature_keys`.
            out: (n, *shape).
        """
        present = np.zeros(len(keys), bool)
        if not len(self._hashes) or not len(keys):
            return present
        hashes = row_checksums(keys)
        found = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        hit = self._hashes[found] == hashes
        for number, segment in enumerate(self._segments):
            mine = np.flatnonzero(hit & (self._segment_of[found] == number))
            if len(mine):
                # The hash finds a row; the checksum, which covers the whole key, says whether it is the one asked for.
                rows, whole = segment.read(self._place_of[found[mine]], keys[mine])
                out[mine[whole]] = from_words(rows[whole], self.shape, self.dtype)
                present[mine[whole]] = True
        return present

    def append(self, keys: Words, rows: Array) -> None:
        """Stores rows: keys (n, 5), rows (n, *shape). A key that is stored already is found here from now on."""
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
        description = self._folder / _DESCRIPTION
        if not description.exists():
            staged = description.with_suffix(f".{os.getpid()}.tmp")
            staged.write_text(json.dumps({"shape": list(self.shape), "dtype": self.dtype}))
            os.replace(staged, description)
        path = write_segment(self._folder, self._next_sequence, self.trunk, keys, as_words(rows))
        self._next_sequence += 1
        self._add(Segment(path, self.trunk))

    def count(self) -> int:
        """Returns how many keys have a row."""
        return len(self._hashes)

    def size_bytes(self) -> int:
        """Returns the segments' size on disk, in bytes."""
        return sum(segment.path.stat().st_size for segment in self._segments if segment.path.exists())

    def _load(self) -> None:
        for path in sorted(self._folder.glob("[0-9]" * 8 + "-*.safetensors")):
            self._next_sequence = max(self._next_sequence, int(path.name[:8]) + 1)
            try:
                self._segments.append(Segment(path, self.trunk))
            except CorruptError:
                path.unlink(missing_ok=True)  # it holds nothing that could be trusted
            except OSError:
                continue
        self._segments = [segment for segment in self._segments if segment.rows.shape[1:] == (self._row_words,)]
        self._index()

    def _add(self, segment: Segment) -> None:
        self._segments.append(segment)
        self._index()

    def _index(self) -> None:
        if not self._segments:
            return
        hashes = np.concatenate([row_checksums(segment.keys) for segment in self._segments])
        segment_of = np.repeat(np.arange(len(self._segments), dtype=np.int32), [len(s.keys) for s in self._segments])
        place_of = np.concatenate([np.arange(len(s.keys), dtype=np.int64) for s in self._segments])
        # Of several rows under one key the latest counts: it was written because the others were wrong.
        _, latest = np.unique(hashes[::-1], return_index=True)
        latest = len(hashes) - 1 - latest
        self._hashes, self._segment_of, self._place_of = hashes[latest], segment_of[latest], place_of[latest]
