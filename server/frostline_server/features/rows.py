"""The rows of one trunk in one dtype: segments in a folder, and an index over their keys.

Any file of it may be deleted, cut short or changed at any time: `read` answers only rows whose checksum holds, and what
it does not answer is computed again.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from frostline_server.features.checksums import Words, as_words, from_words, row_checksums
from frostline_server.features.segment import Segment, write_segment
from frostline_zoo.errors import CorruptError

Array = npt.NDArray[Any]
_DESCRIPTION = "rows.json"
SEGMENTS = "[0-9]" * 8 + "-*.safetensors"


_PLACE_BITS = 40
_FETCHED_BYTES = 64 << 20  # more, read in storage order, the system reads ahead by itself
_PROBED, _PROBED_EVERY = 8, 64
_NOWHERE = -1


class Found(NamedTuple):
    """Where the rows of n keys are.

    Attributes:
        hashes: (n,) of the keys.
        addresses: (n,), the number of each row's segment above its place there; -1 where there is no row.
        seen: what they were looked up in: sorted hashes, and their addresses.
    """

    hashes: Words
    addresses: npt.NDArray[np.int64]
    seen: tuple[Words, npt.NDArray[np.int64]]

    def at(self, places: Array) -> Found:
        """Returns where the rows of those of the keys are that stand at `places`."""
        return Found(self.hashes[places], self.addresses[places], self.seen)


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
        # Sorted hashes of the keys, and the addresses of their rows: one value, since threads read it while another
        # one appends.
        self._index = (np.empty(0, np.uint64), np.empty(0, np.int64))
        self._next_sequence = 0
        self._until_probe, self._was_on_disk = 0, False
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
        there: npt.NDArray[np.bool_] = self.find(keys).addresses != _NOWHERE
        return there

    def find(self, keys: Words) -> Found:
        """Returns where the rows of the keys (n, 5) are."""
        known, addresses = seen = self._index
        hashes = row_checksums(keys)
        if not len(known):
            return Found(hashes, np.full(len(keys), _NOWHERE), seen)
        found = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
        return Found(hashes, np.where(known[found] == hashes, addresses[found], _NOWHERE), seen)

    def is_newest(self, found: Found) -> bool:
        """Whether nothing was stored since the rows were found."""
        return found.seen is self._index

    def read(self, sought: Found, out: Array) -> npt.NDArray[np.bool_]:
        """Copies the rows that are there and whole into their places in `out`; returns which those are.

        The other places of `out` hold anything afterwards. Rows in storage order are read without a second copy.

        Args:
            sought: what `find` said of n keys.
            out: (n, *shape), C-contiguous, of this dtype.
        """
        present = np.zeros(len(sought.hashes), bool)
        found = np.flatnonzero(sought.addresses != _NOWHERE)
        if not len(found):
            return present
        if (np.diff(sought.addresses[found]) < 0).any():
            found = found[np.argsort(sought.addresses[found])]
        segment_of, place_of = np.divmod(sought.addresses[found], 1 << _PLACE_BITS)
        words = out.reshape(len(out), -1).view(np.uint64) if self.row_bytes % 8 == 0 and self.row_bytes else None
        starts = [0, *(np.flatnonzero(np.diff(segment_of)) + 1).tolist(), len(found)]
        if len(found) * self.row_bytes <= _FETCHED_BYTES and self._is_on_disk(segment_of, place_of):
            for start, end in itertools.pairwise(starts):
                self._segments[segment_of[start]].fetch(place_of[start:end])
        for start, end in itertools.pairwise(starts):
            group, places = found[start:end], place_of[start:end]
            first, hashes = int(group[0]), sought.hashes[group]
            in_place = words is not None and group[-1] - first + 1 == len(group) and bool((np.diff(group) == 1).all())
            into = words[first : first + len(group)] if words is not None and in_place else None
            # The hash finds a row; the checksum, which covers the whole key, says whether it is the one asked for.
            rows, whole = self._segments[segment_of[start]].read(places, hashes, into)
            if into is None:
                out[group[whole]] = from_words(rows[whole], self.shape, self.dtype)
            present[group[whole]] = True
        return present

    def _is_on_disk(self, segment_of: Array, place_of: Array) -> bool:
        """Returns whether rows come from the disk and not from memory: whether one of a few did, now and then."""
        if not self._until_probe:
            faults, self._was_on_disk = _major_faults(), False
            for at in range(0, len(place_of), max(1, len(place_of) // _PROBED)):
                self._segments[segment_of[at]].read(place_of[at : at + 1], np.zeros(1, np.uint64))
                if _major_faults() > faults:
                    self._was_on_disk = True
                    break
            self._until_probe = _PROBED_EVERY
        self._until_probe -= 1
        return self._was_on_disk

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

    def _index_all(self) -> None:
        if not self._segments:
            return
        hashes = np.concatenate([segment.hashes for segment in self._segments])
        addresses = np.concatenate(
            [np.arange(len(s.hashes)) + (number << _PLACE_BITS) for number, s in enumerate(self._segments)]
        )
        # Of several rows under one key the latest counts: it was written because the others were wrong.
        _, latest = np.unique(hashes[::-1], return_index=True)
        latest = len(hashes) - 1 - latest
        self._index = (hashes[latest], addresses[latest])


def _major_faults() -> int:
    """Returns how often this thread had to wait for pages from the disk."""
    return resource.getrusage(getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)).ru_majflt


def read_shape(folder: Path) -> tuple[int, ...]:
    """Returns the shape of the rows in `folder`; () where nothing says so."""
    try:
        return tuple(int(side) for side in json.loads((folder / _DESCRIPTION).read_bytes())["shape"])
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
        return ()
