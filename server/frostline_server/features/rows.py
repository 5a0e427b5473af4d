"""The rows of one trunk in one dtype: segments in a folder, and an index over their keys.

Any file of it may be deleted, cut short or changed at any time: `read` answers only rows whose checksum holds, and what
it does not answer is computed again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_server.features.checksums import Words, as_words, from_words, row_checksums
from frostline_server.features.segment import Segment, write_segment
from frostline_zoo.errors import CorruptError

Array = npt.NDArray[Any]
_DESCRIPTION = "rows.json"
SEGMENTS = "[0-9]" * 8 + "-*.safetensors"


class TrunkRows:
    """The rows of one trunk, each of one shape and dtype, as one process sees them."""

    def __init__(self, folder: Path, trunk: str, shape: tuple[int, ...], dtype: str) -> None:
        self.trunk = trunk
        self.shape = shape
        self.dtype = dtype
        self.row_bytes = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=int))
        self._folder = folder
        self._row_words = -(-self.row_bytes // 8)
        self._segments: list[Segment] = []
        self._known: set[str] = set()
        # Sorted hashes of the keys, and for each the segment and the place of its row: one value, since threads read
        # it while another one appends.
        self._index = (np.empty(0, np.uint64), np.empty(0, np.int32), np.empty(0, np.int64))
        self._next_sequence = 0
        self.refresh()

    def refresh(self) -> None:
        """Takes in the segments that others have written since."""
        new = [path for path in sorted(self._folder.glob(SEGMENTS)) if path.name not in self._known]
        for path in new:
            self._known.add(path.name)
            self._next_sequence = max(self._next_sequence, int(path.name[:8]) + 1)
            try:
                segment = Segment(path, self.trunk)
            except CorruptError:
                path.unlink(missing_ok=True)  # it holds nothing that could be trusted
            except OSError:
                continue
            else:
                if segment.row_words == self._row_words:
                    self._segments.append(segment)
        if new:
            self._index_all()

    def has(self, keys: Words) -> npt.NDArray[np.bool_]:
        """Returns which of the keys (n, 5) have a row, whole or not."""
        return self._find(keys)[0]

    def storage_order(self, keys: Words) -> npt.NDArray[np.int64]:
        """Returns the places of the keys (n, 5) in the order in which reading them is fastest."""
        hit, segment_of, place_of = self._find(keys)
        order: npt.NDArray[np.int64] = np.lexsort((place_of, segment_of, ~hit))
        return order

    def read(self, keys: Words, out: Array) -> npt.NDArray[np.bool_]:
        """Copies the rows that are there and whole into their places in `out`; returns which those are.

        The other places of `out` hold anything afterwards. Keys in storage order are read without a second copy.

        Args:
            keys: (n, 5), see `feature_keys`.
            out: (n, *shape), C-contiguous, of this dtype.
        """
        hit, segment_of, place_of = self._find(keys)
        present = np.zeros(len(keys), bool)
        found = np.flatnonzero(hit)
        if not len(found):
            return present
        found = found[np.lexsort((place_of[found], segment_of[found]))]
        ends = np.flatnonzero(np.diff(segment_of[found])) + 1
        words = out.reshape(len(out), -1).view(np.uint64) if self.row_bytes % 8 == 0 and self.row_bytes else None
        for group in np.split(found, ends):
            # The hash finds a row; the checksum, which covers the whole key, says whether it is the one asked for.
            segment, first = self._segments[segment_of[group[0]]], int(group[0])
            in_place = words is not None and group[-1] - first + 1 == len(group) and bool((np.diff(group) == 1).all())
            into = words[first : first + len(group)] if words is not None and in_place else None
            rows, whole = segment.read(place_of[group], keys[group], into)
            if into is None:
                out[group[whole]] = from_words(rows[whole], self.shape, self.dtype)
            present[group[whole]] = True
        return present

    def append(self, keys: Words, rows: Array) -> None:
        """Stores rows: keys (n, 5), rows (n, *shape). A key that is stored already is found here from now on.

        Raises:
            OSError: the disk does not take them.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        description = self._folder / _DESCRIPTION
        if not description.exists() or read_shape(self._folder) != self.shape:
            staged = description.with_suffix(f".{os.getpid()}.tmp")
            staged.write_text(json.dumps({"shape": list(self.shape), "dtype": self.dtype}))
            os.replace(staged, description)
        path = write_segment(self._folder, self._next_sequence, self.trunk, keys, as_words(rows))
        self._next_sequence += 1
        self._known.add(path.name)
        self._segments.append(Segment(path, self.trunk))
        self._index_all()

    def count(self) -> int:
        """Returns how many keys have a row."""
        return len(self._index[0])

    def _find(self, keys: Words) -> tuple[npt.NDArray[np.bool_], Array, Array]:
        """Returns for each key whether it has a row, in which segment, and where there."""
        known, segment_of, place_of = self._index
        if not len(known):
            nowhere = np.zeros(len(keys), np.int64)
            return np.zeros(len(keys), bool), nowhere, nowhere
        hashes = row_checksums(keys)
        found = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
        return known[found] == hashes, segment_of[found], place_of[found]

    def _index_all(self) -> None:
        if not self._segments:
            return
        hashes = np.concatenate([segment.hashes for segment in self._segments])
        counts = [len(segment.hashes) for segment in self._segments]
        segment_of = np.repeat(np.arange(len(self._segments), dtype=np.int32), counts)
        place_of = np.concatenate([np.arange(count, dtype=np.int64) for count in counts])
        # Of several rows under one key the latest counts: it was written because the others were wrong.
        _, latest = np.unique(hashes[::-1], return_index=True)
        latest = len(hashes) - 1 - latest
        self._index = (hashes[latest], segment_of[latest], place_of[latest])


def read_shape(folder: Path) -> tuple[int, ...]:
    """Returns the shape of the rows in `folder`; () where nothing says so."""
    try:
        return tuple(int(side) for side in json.loads((folder / _DESCRIPTION).read_bytes())["shape"])
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
        return ()
