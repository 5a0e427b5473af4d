"""The rows of one trunk in one dtype: segments in a folder, and an index over their keys.

Any file of it may be deleted or changed at any time: `read` answers only rows whose checksum holds, and what it does
not answer is computed again. One that is cut short is found out before its rows are touched, but for the millisecond
in which rows are copied: then the process ends, and the job goes on in another one.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from frostline_server.features.segment import Bytes, Segment, Words, key_hashes, row_hashes, write_segment
from frostline_server.features.side_by_side import SideBySide
from frostline_zoo.errors import CorruptError, ExhaustedError

Array = npt.NDArray[Any]
_DESCRIPTION = "rows.json"
SEGMENTS = "[0-9]" * 8 + "-*.safetensors"

_NEAR_BYTES = 1 << 20  # what a processor's cache holds until it is verified
_CHECKED_BYTES = 8 << 20  # so often it is asked whether the files are still there, which takes a call for each
_PROBED, _PROBED_EVERY = 8, 16  # rows, and reads
_NOWHERE = -1


class Index(NamedTuple):
    """What is known of all rows, in the order of their hashes.

    Attributes:
        hashes: (n,) of the keys, ascending.
        addresses: (n,), each row's number among all that are mapped.
        row_hashes: (n,), what each row's hash is where it is what was stored under its key.
        segments: what the rows stand in, in the order in which they are mapped.
        firsts: (s,), the address of the first row of each segment.
    """

    hashes: Words
    addresses: npt.NDArray[np.int64]
    row_hashes: Words
    segments: tuple[Segment, ...]
    firsts: npt.NDArray[np.int64]

    def segment_of(self, addresses: Array) -> Array:
        """Returns which segments addresses (n,) lie in: (n,), -1 for what is nowhere."""
        return np.searchsorted(self.firsts, addresses, side="right") - 1


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
        self._mapped = SideBySide(self.row_bytes)
        self._known: set[str] = set()
        # One value, since threads read it while another one appends.
        none = np.empty(0, np.int64)
        self._index = Index(none.view(np.uint64), none, none.view(np.uint64), (), none)
        self._next_sequence = 0
        self._until_probe, self._was_on_disk = 0, False
        self._changing = threading.Lock()
        self.refresh()

    def refresh(self) -> None:
        """Takes in the segments that others have written since."""
        with self._changing:
            new = [path for path in sorted(self._folder.glob(SEGMENTS)) if path.name not in self._known]
            found = []
            for path in new:
                self._known.add(path.name)
                self._next_sequence = max(self._next_sequence, int(path.name[:8]) + 1)
                try:
                    found.append(self._mapped_segment(path))
                except CorruptError:
                    path.unlink(missing_ok=True)  # it holds nothing that could be trusted
                except OSError:
                    continue
            if found:
                self._index_with(found)

    def find(self, keys: Words) -> Found:
        """Returns where the rows of the keys (n, 5) are."""
        index, hashes = self._index, key_hashes(keys)
        if not len(index.hashes):
            return Found(np.full(len(keys), _NOWHERE), np.zeros(len(keys), np.uint64), index)
        found = np.minimum(np.searchsorted(index.hashes, hashes), len(index.hashes) - 1)
        addresses = np.where(index.hashes[found] == hashes, index.addresses[found], _NOWHERE)
        for segment, asked, place_of in _by_segment(index, addresses):
            # The hash finds a row, the key says whether it is the one asked for.
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
        target, present = _as_bytes(out), np.zeros(len(sought.addresses), bool)
        read = self._read_from_disk if self._is_on_disk(sought) else self._read_from_memory
        for block in self._blocks(len(target), _CHECKED_BYTES):
            present[block] = read(sought.at(block), target[block])
        return present

    def lacks(self, keys: Words) -> npt.NDArray[np.bool_]:
        """Returns which of the keys (n, 5) have no row, or one that is not whole."""
        found = self.find(keys)
        lacks = ~found.are_there
        there = np.flatnonzero(found.are_there)
        if len(there):
            lacks[there] = ~self.read(found.at(there), np.empty((len(there), *self.shape), self.dtype))
        return lacks

    def _read_from_memory(self, sought: Found, out: Bytes) -> npt.NDArray[np.bool_]:
        """Copies rows that are in memory, and verifies them while they are near."""
        there = _are_mapped(sought)
        if there.any():
            # In place of those that are not there come others, which nobody looks at.
            numbers = np.where(there, sought.addresses, sought.addresses[there.argmax()])
            for block in self._blocks(len(out), _NEAR_BYTES):  # in few calls: after each, threads wait for one another
                self._mapped.take(numbers[block], out[block])
                there[block] &= row_hashes(out[block]) == sought.row_hashes[block]
        return there

    def _read_from_disk(self, sought: Found, out: Bytes) -> npt.NDArray[np.bool_]:
        """Reads rows in the order in which the disk has them, each to its place, and verifies them."""
        there, runs = np.zeros(len(out), bool), _by_segment(sought.seen, sought.addresses)
        for segment, _, place_of in runs:
            segment.fetch(place_of)
        for segment, places, place_of in runs:
            hashes = segment.read(place_of, out, places)
            there[places] = hashes is not None and hashes == sought.row_hashes[places]
        return there

    def _blocks(self, count: int, size_bytes: int) -> Iterator[slice]:
        size = max(1, size_bytes // max(1, self.row_bytes))
        for start in range(0, count, size):
            yield slice(start, start + size)

    def _is_on_disk(self, sought: Found) -> bool:
        """Returns whether rows come from the disk and not from memory: whether one of a few did, now and then."""
        if self._until_probe <= 0:  # several threads count it down
            faults, self._was_on_disk = _major_faults(), False
            addresses = sought.addresses[_are_mapped(sought)]
            for address in addresses[:: max(1, len(addresses) // _PROBED)]:
                self._mapped.take(np.array([address]), np.empty((1, self.row_bytes), np.uint8))
                if _major_faults() > faults:
                    self._was_on_disk = True
                    break
            self._until_probe = _PROBED_EVERY
        self._until_probe -= 1
        return self._was_on_disk

    def append(self, keys: Words, *rows: Array) -> None:
        """Stores rows: keys (n, 5), rows (n, *shape) in pieces. A key that is stored already is found here from now on.

        Raises:
            ExhaustedError: the process has no addresses left for them.
            OSError: the disk does not take them.
        """
        with self._changing:
            if not self._mapped.has_room(len(keys)):
                raise ExhaustedError("this process has no addresses left to map them at", reason="FEATURE_BUDGET")
            self._folder.mkdir(parents=True, exist_ok=True)
            description = self._folder / _DESCRIPTION
            if not description.exists() or read_shape(self._folder) != self.shape:
                staged = description.with_suffix(f".{os.getpid()}.tmp")
                staged.write_text(json.dumps({"shape": list(self.shape), "dtype": self.dtype}))
                os.replace(staged, description)
            pieces = [_as_bytes(piece) for piece in rows]
            path = write_segment(self._folder, self._next_sequence, self._owner, keys, pieces)
            self._next_sequence += 1
            self._known.add(path.name)
            try:
                self._index_with([self._mapped_segment(path)])
            except BaseException:
                path.unlink(missing_ok=True)  # nobody would find its rows, and they would be written again
                raise

    def count(self) -> int:
        """Returns how many keys have a row."""
        return len(self._index.hashes)

    def _mapped_segment(self, path: Path) -> Segment:
        return Segment(path, self._owner, self.row_bytes, self._mapped)

    def _index_with(self, new: Sequence[Segment]) -> None:
        """Takes segments into the index, behind those that are there."""
        segments = (*self._index.segments, *new)
        hashes = np.concatenate([segment.hashes for segment in segments])
        addresses = np.concatenate([np.arange(each.first, each.first + each.count) for each in segments])
        # Of several rows under one key the latest counts: it was written because the others were wrong.
        _, latest = np.unique(hashes[::-1], return_index=True)
        latest = len(hashes) - 1 - latest
        of_rows = np.concatenate([segment.row_hashes for segment in segments])
        firsts = np.array([each.first for each in segments])
        self._index = Index(hashes[latest], addresses[latest], of_rows[latest], segments, firsts)


def _are_mapped(sought: Found) -> npt.NDArray[np.bool_]:
    """Returns which of the keys (n,) have a row in a file that is what it was."""
    segments = sought.seen.segments
    asked = sought.seen.segment_of(sought.addresses) + 1  # 0: nowhere
    counts = np.bincount(asked, minlength=len(segments) + 1)[1:]
    are_there = [bool(count) and segment.is_there() for segment, count in zip(segments, counts, strict=True)]
    mapped: npt.NDArray[np.bool_] = np.array([False, *are_there])[asked]
    return mapped


def _by_segment(index: Index, addresses: Array) -> list[tuple[Segment, Array, Array]]:
    """Returns the segments that some of the addresses (n,) lie in: which those are (k,), and their places in it (k,).

    All in the order in which the disk has them.
    """
    places = np.argsort(addresses)
    places = places[len(places) - np.count_nonzero(addresses != _NOWHERE) :]
    segment_of = index.segment_of(addresses[places])
    ends = [*(np.flatnonzero(np.diff(segment_of)) + 1).tolist(), len(places)] if len(places) else []
    found = []
    for start, end in itertools.pairwise([0, *ends]):
        segment, asked = index.segments[segment_of[start]], places[start:end]
        found.append((segment, asked, addresses[asked] - segment.first))
    return found


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
