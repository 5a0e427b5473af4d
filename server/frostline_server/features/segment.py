"""Segments: rows of one trunk's features in one file that never changes. docs/formats.md has every byte.

A segment is safetensors with

    keys       (n, 5) uint64   example digest (4 words) and view
    rows       (n, m) uint8    the row's bytes
    checksums  (n,)   uint64   over the owner, the key's hash and the row

The rows begin at a multiple of the system's page size, so that those of several segments can be mapped side by side.
The owner is whose rows these are: the trunk's digest and the dtype. Since the checksum covers it and the key, a row
under another's name is as wrong as a flipped bit.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from frostline_server.features.side_by_side import PAGE_BYTES, SideBySide
from frostline_zoo.errors import CorruptError
from frostline_zoo.tensors import map_tensors, tensors_header

Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

KEY_WORDS = 5
OVERHEAD_BYTES = 48  # of each row: its key and its checksum
_MAX_HEADER_BYTES = 1 << 17  # pages may have 64 KiB


def feature_keys(digests: Bytes, view: int = 0) -> Words:
    """Returns the keys of examples by their digests: (n, 32) uint8 -> (n, 5) words."""
    keys = np.empty((len(digests), KEY_WORDS), np.uint64)
    keys[:, :4] = np.ascontiguousarray(digests).view(np.uint64)
    keys[:, 4] = view
    return keys


def key_hashes(keys: Words) -> Words:
    """Returns a number for each key, (n, 5) -> (n,), as good as unique: a part of the digest, changed by the view."""
    return keys[:, 0] ^ keys[:, 4] * np.uint64(0x9E3779B97F4A7C15)  # odd, so that no two views are alike


def row_hashes(rows: Bytes) -> Words:
    """Returns the 64-bit XXH3 of every row: (n, m) -> (n,)."""
    return np.fromiter(map(xxh3_64_intdigest, rows), np.uint64, len(rows))


class Segment:
    """One mapped file of rows.

    Attributes:
        first: the number of its first row among the rows that are mapped side by side.
        count: how many rows it has.
        hashes: (n,) of the keys.
        row_hashes: (n,), what `row_hashes` gives for each row that is what was stored under its key.
    """

    def __init__(self, path: Path, owner: str, row_bytes: int, rows: SideBySide) -> None:
        """Maps the file at `path`, in which nothing counts but rows of `owner`, and its rows behind those in `rows`.

        Raises:
            CorruptError: it is not a segment.
            OSError: it cannot be mapped.
        """
        if not path.is_file():  # a pipe would be waited for
            raise CorruptError("not a feature segment")
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            self._mapped = (status.st_ino, status.st_size)
            keys, checksums, self._rows_at = _without_rows(path, status.st_size, row_bytes)
            self.first = rows.add(file.fileno(), self._rows_at, len(keys))
        self._keys = keys
        self._row_bytes = row_bytes
        self.count = len(keys)
        self.hashes = key_hashes(keys)
        self.row_hashes = checksums ^ self.hashes ^ _hash_of(owner)
        self._path = path

    def has_keys(self, places: Places, keys: Words) -> npt.NDArray[np.bool_]:
        """Returns which of the rows at `places` (k,) are those of the keys (k, 5)."""
        if not self.is_there():
            return np.zeros(len(places), bool)
        same: npt.NDArray[np.bool_] = (np.take(self._keys, places, axis=0) == keys).all(axis=1)
        return same

    def fetch(self, places: Places) -> None:
        """Asks the disk for the rows at `places`, all at once, and waits for none. Short of memory, not all come."""
        if not hasattr(os, "posix_fadvise"):
            return
        with suppress(OSError):
            handle = os.open(self._path, os.O_RDONLY)
            try:
                for place in places.tolist():
                    start = self._rows_at + place * self._row_bytes
                    os.posix_fadvise(handle, start, self._row_bytes, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(handle)

    def read(self, places: Places, out: Bytes, into: Places) -> Words | None:
        """Reads the rows at `places` (k,) from the disk, and nothing else, to `into` (k,) in `out`.

        A mapped row that is not in memory comes page by page as it is touched, each of them with neighbours that nobody
        needs. Where memory is short these take the place of rows that were asked for, and all is read many times over.

        Returns:
            (k,), the hash of what was read for each, taken while it is near; None where the file is not there any more,
            or not what it was.
        """
        hashes = np.empty(len(places), np.uint64)
        try:
            handle = os.open(self._path, os.O_RDONLY)
        except OSError:
            return None
        try:
            status = os.fstat(handle)
            if (status.st_ino, status.st_size) != self._mapped:
                return None
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
            for number, (place, to) in enumerate(zip(places.tolist(), into.tolist(), strict=True)):
                row = out[to]
                if os.preadv(handle, [row], self._rows_at + place * self._row_bytes) != self._row_bytes:
                    return None
                hashes[number] = xxh3_64_intdigest(row)
        except OSError:
            return None
        finally:
            os.close(handle)
        return hashes

    def is_there(self) -> bool:
        """Whether the file is what it was. Otherwise its rows must not be touched: that could end the process.

        One that was cut short is deleted: it holds nothing, and takes the room of what is computed now.
        """
        try:
            status = self._path.stat()
            inode, size_bytes = self._mapped
            if status.st_ino == inode and status.st_size != size_bytes:
                self._path.unlink()
        except OSError:
            return False
        return (status.st_ino, status.st_size) == self._mapped


def _without_rows(path: Path, size_bytes: int, row_bytes: int) -> tuple[Words, Words, int]:
    """Returns the keys and the checksums of a segment, mapped, and where in the file its rows begin."""
    tensors = map_tensors(path)
    try:
        keys, rows, checksums = tensors["keys"], tensors["rows"], tensors["checksums"]
    except KeyError as error:
        raise CorruptError("not a feature segment") from error
    count = len(keys)
    shapes = [keys.shape, rows.shape, checksums.shape]
    dtypes = [keys.dtype, rows.dtype, checksums.dtype]
    rows_at = size_bytes - rows.nbytes  # the last of the three, as the narrowest
    if (
        shapes != [(count, KEY_WORDS), (count, row_bytes), (count,)]
        or dtypes != [np.uint64, np.uint8, np.uint64]
        or rows_at % PAGE_BYTES
    ):
        raise CorruptError("not a feature segment")
    return keys, checksums, rows_at


def write_segment(folder: Path, sequence: int, owner: str, keys: Words, pieces: Sequence[Bytes]) -> Path:
    """Writes rows as a new segment, there whole or not at all. They come in pieces, which are not put together first.

    Not synced: what a power cut takes or tears is found by its checksum, and computed again.
    """
    checksums = np.concatenate([row_hashes(rows) for rows in pieces]) ^ key_hashes(keys) ^ _hash_of(owner)
    path = folder / f"{sequence:08d}-{uuid.uuid4().hex[:8]}.safetensors"
    staged = path.with_suffix(".tmp")
    try:
        with staged.open("wb") as file:
            file.write(_header(len(keys), pieces[0].shape[1]))
            for array in (checksums, keys, *pieces):
                file.write(array.data)
        os.replace(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    return path


def segment_bytes(count: int, row_bytes: int) -> int:
    """Returns how large a segment of so many rows is."""
    return len(_header(count, row_bytes)) + count * (OVERHEAD_BYTES + row_bytes)


def _header(count: int, row_bytes: int) -> bytes:
    """Returns a segment's header, with so many spaces that the rows begin with a page."""
    layout = [("checksums", "U64", (count,)), ("keys", "U64", (count, KEY_WORDS)), ("rows", "U8", (count, row_bytes))]
    header = tensors_header(layout)
    spaces = -(len(header) + count * OVERHEAD_BYTES) % PAGE_BYTES
    return (len(header) - 8 + spaces).to_bytes(8, "little") + header[8:] + b" " * spaces


def segment_row_count(path: Path) -> int:
    """Returns how many rows the segment at `path` says it holds; 0 for a file that says nothing of the kind."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        try:
            header = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), _MAX_HEADER_BYTES)))
            return int(header["keys"]["shape"][0])
        except (ValueError, KeyError, TypeError, IndexError, ArithmeticError, RecursionError):
            return 0


def _hash_of(owner: str) -> np.uint64:
    return np.uint64(xxh3_64_intdigest(owner.encode()))
