"""The rows of one trunk in one dtype: segments in a folder, and an index over their keys.

Any file of it may be deleted, cut short or changed at any time: `read` answers only rows whose checksum holds, and what
it does not answer is computed again.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from frostline_server.features.segment import Bytes, Segment, Words, key_hashes, row_hashes, write_segment
from frostline_zoo.errors import CorruptError

Array = npt.NDArray[Any]
_DESCRIPTION = "rows.json"
SEGMENTS = "[0-9]" * 8 + "-*.safetensors"

_PLACE_BITS = 40
_BLOCK_BYTES = 8 << 20
_PROBED, _PROBED_EVERY = 8, 64
_NOWHERE = -1


class Index(NamedTuple):
    """What is known of all rows, in the order of their hashes.

    Attributes:
        hashes: (n,) of the keys, ascending.
        addresses: (n,), the number of each row's segment above its place there.
        row_hashes: (n,), what each row's hash is where it is what was stored under its key.
    """

    hashes: Words
    addresses: npt.NDArray[np.int64]
    row_hashes: Words


class Found(NamedTuple):
    """Where the rows of n keys are.

    Attributes:
        addresses: (n,), as in the index; -1 where there is no row.
        row_hashes: (n,), as in the index; anything where there is no row.
        seen: the index that they were looked up in.
    """

    addresses: npt.NDArray[np.int64]
    row_hashes: Words
    seen: Index

    @property
    def are_there(self) -> npt.NDArray[np.bool_]:
        """Which of the keys (n,) have a row, whole or not."""
        there: npt.NDArray[np.bool_] = self.addresses != _NOWHERE
        return there

    def at(self, places: Array | slice) -> Found:
        """Returns where the rows of those of the keys are that stand at `places`."""
        return Found(self.addresses[places], self.row_hashes[places], self.seen)


class TrunkRows:
    """The rows of one trunk, each of one shape and dtype, as one process sees them."""

    def __init__(self, folder: Path, trunk: str, shape: tuple[int, ...], dtype: str) -> None:
        self.trunk = trunk
        self.shape = shape
        self.dtype = dtype
        self.row_bytes = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=int))
        self._folder = folder
        self._owner = f"{trunk} {dtype}"
        self._segments: list[Segment] = []
        self._known: set[str] = set()
        # One value, since threads read it while another one appends.
        self._index = Index(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.uint64))
        self._next_sequence = 0
        self._until_probe, self._was_on_disk = 0, False
        self._local = threading.local()
        self.refresh()

    def refresh(self) -> None:
        """Takes in the segments that others have written since."""
        new = [path for path in sorted(self._folder.glob(SEGMENTS)) if path.name not in self._known]
        for path in new:
            self._known.add(path.name)
            self._next_sequence = max(self._next_sequence, int(path.name[:8]) + 1)
            try:
                segment = Segment(path, self._owner)
            except CorruptError:
                path.unlink(missing_ok=True)  # it holds nothing that could be trusted
            except OSError:
                continue
            else:
                if segment.row_bytes == self.row_bytes:
                    self._segments.append(segment)
        if new:
            self._index_all()

    def find(self, keys: Words) -> Found:
        """Returns where the rows of the keys (n, 5) are."""
        index, hashes = self._index, key_hashes(keys)
        if not len(index.hashes):
            return Found(np.full(len(keys), _NOWHERE), np.zeros(len(keys), np.uint64), index)
        found = np.minimum(np.searchsorted(index.hashes, hashes), len(index.hashes) - 1)
        addresses = np.where(index.hashes[found] == hashes, index.addresses[found], _NOWHERE)
        places, runs = self._by_segment(addresses)
        for segment, run, place_of in runs:  # the hash finds a row, the key says whether it is the one asked for
            asked = places[run]
            addresses[asked[~segment.has_keys(place_of, keys[asked])]] = _NOWHERE
        return Found(addresses, index.row_hashes[found], index)

    def is_newest(self, found: Found) -> bool:
        """Whether nothing was stored since the rows were found."""
        return found.seen is self._index

    def read(self, sought: Found, out: Array) -> npt.NDArray[np.bool_]:
        """Copies the rows that are there and whole into their places in `out`; returns which those are.

        The other places of `out` hold anything afterwards.

        Args:
            sought: what `find` said of n keys.
            out: (n, *shape), C-contiguous, of this dtype.
        """
        present = np.zeros(len(sought.addresses), bool)
        size = max(1, _BLOCK_BYTES // max(1, self.row_bytes))
        for start in range(0, len(present), size):
            block = slice(start, start + size)
            self._read_block(sought.at(block), out[block], present[block])
        return present

    def lacks(self, keys: Words) -> npt.NDArray[np.bool_]:
        """Returns which of the keys (n, 5) have no row, or one that is not whole."""
        found = self.find(keys)
        lacks = ~found.are_there
        there = np.flatnonzero(found.are_there)
        if len(there):
            lacks[there] = ~self.read(found.at(there), np.empty((len(there), *self.shape), self.dtype))
        return lacks

    def _read_block(self, sought: Found, out: Array, present: npt.NDArray[np.bool_]) -> None:
        """Reads rows in the order in which the disk has them, and verifies them.

        From memory, rows that are asked for in another order pass through a copy: NumPy takes rows from anywhere twice
        as fast as it puts them anywhere, and lets other threads work meanwhile. From the disk, each goes to its place.
        """
        places, runs = self._by_segment(sought.addresses)
        if not len(places) or not self.row_bytes:
            present[places] = True
            return
        target = _as_bytes(out)
        if self._is_on_disk(sought.addresses[places]):
            for segment, _, place_of in runs:
                segment.fetch(place_of)
            for segment, run, place_of in runs:
                hashes = segment.read(place_of, target, places[run])
                present[places[run]] = hashes is not None and hashes == sought.row_hashes[places[run]]
            return
        is_in_order = np.array_equal(places, np.arange(len(out)))
        rows = target if is_in_order else self._scratch(len(places))
        copied = np.zeros(len(places), bool)
        for segment, run, place_of in runs:
            copied[run] = segment.copy(place_of, rows[run])
        present[places] = copied & (row_hashes(rows[: len(places)]) == sought.row_hashes[places])
        if not is_in_order:
            target[places] = rows

    def _by_segment(self, addresses: Array) -> tuple[Array, list[tuple[Segment, slice, Array]]]:
        """Returns which of the addresses (n,) are somewhere, in the order in which the disk has them: (k,).

        And each segment with some of them, with which of the k those are and their places in it.
        """
        places = np.argsort(addresses)
        places = places[len(places) - np.count_nonzero(addresses != _NOWHERE) :]
        segment_of, place_of = np.divmod(addresses[places], 1 << _PLACE_BITS)
        ends = [*(np.flatnonzero(np.diff(segment_of)) + 1).tolist(), len(places)] if len(places) else []
        runs = [slice(start, end) for start, end in itertools.pairwise([0, *ends])]
        return places, [(self._segments[segment_of[run.start]], run, place_of[run]) for run in runs]

    def _scratch(self, count: int) -> Bytes:
        """Returns room for `count` rows, this thread's until it asks again: memory that is new costs a pass over it."""
        if len(getattr(self._local, "rows", ())) < count:
            self._local.rows = np.empty((count, self.row_bytes), np.uint8)
        rows: Bytes = self._local.rows[:count]
        return rows

    def _is_on_disk(self, addresses: Array) -> bool:
        """Returns whether rows come from the disk and not from memory: whether one of a few did, now and then."""
        if self._until_probe <= 0:  # several threads count it down
            faults, self._was_on_disk = _major_faults(), False
            for address in addresses[:: max(1, len(addresses) // _PROBED)].tolist():
                segment, place = divmod(address, 1 << _PLACE_BITS)
                self._segments[segment].copy(np.array([place]), np.empty((1, self.row_bytes), np.uint8))
                if _major_faults() > faults:
                    self._was_on_disk = True
                    break
            self._until_probe = _PROBED_EVERY
        self._until_probe -= 1
        return self._was_on_disk

    def append(self, keys: Words, *rows: Array) -> None:
        """Stores rows: keys (n, 5), rows (n, *shape) in pieces. A key that is stored already is found here from now on.

        Raises:
            OSError: the disk does not take them.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        description = self._folder / _DESCRIPTION
        if not description.exists() or read_shape(self._folder) != self.shape:
            staged = description.with_suffix(f".{os.getpid()}.tmp")
            staged.write_text(json.dumps({"shape": list(self.shape), "dtype": self.dtype}))
            os.replace(staged, description)
        path = write_segment(self._folder, self._next_sequence, self._owner, keys, [_as_bytes(piece) for piece in rows])
        self._next_sequence += 1
        self._known.add(path.name)
        self._segments.append(Segment(path, self._owner))
        self._index_all()

    def count(self) -> int:
        """Returns how many keys have a row."""
        return len(self._index.hashes)

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
        of_rows = np.concatenate([segment.row_hashes for segment in self._segments])
        self._index = Index(hashes[latest], addresses[latest], of_rows[latest])


def _as_bytes(rows: Array) -> Bytes:
    """Returns rows as (n, m) bytes, of the same memory where they are C-contiguous."""
    flat = np.ascontiguousarray(rows).reshape(len(rows), int(np.prod(rows.shape[1:], dtype=int)))
    return flat.view(np.uint8)


def _major_faults() -> int:
    """Returns how often this thread had to wait for pages from the disk."""
    return resource.getrusage(getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)).ru_majflt


def read_shape(folder: Path) -> tuple[int, ...]:
    """Returns the shape of the rows in `folder`; () where nothing says so."""
    try:
        return tuple(int(side) for side in json.loads((folder / _DESCRIPTION).read_bytes())["shape"])
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
        return ()
