"""Segments: rows of one trunk's features in one file that never changes. docs/formats.md has every byte.

A segment is canonical safetensors with

    keys       (n, 5) uint64   example digest (4 words) and view
    rows       (n, m) uint8    the row's bytes
    checksums  (n,)   uint64   over the owner, the key's hash and the row

The owner is whose rows these are: the trunk's digest and the dtype. Since the checksum covers it and the key, a row
under another's name is as wrong as a flipped bit.
"""

from __future__ import annotations

import json
import os
import stat
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from frostline_zoo.errors import CorruptError
from frostline_zoo.tensors import map_tensors, tensors_header

Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

KEY_WORDS = 5
OVERHEAD_BYTES = 48  # of each row: its key and its checksum
_MAX_HEADER_BYTES = 4096


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
        hashes: (n,) of the keys.
        row_hashes: (n,), what `row_hashes` gives for each row that is what was stored under its key.
        row_bytes: how many bytes a row has.
    """

    def __init__(self, path: Path, owner: str) -> None:
        """Maps the file at `path`, in which nothing counts but rows of `owner`.

        Raises:
            CorruptError: it is not a segment.
        """
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise CorruptError("not a feature segment")
        self._mapped = (status.st_ino, status.st_size)
        tensors = map_tensors(path)
        try:
            keys, self._rows, checksums = tensors["keys"], tensors["rows"], tensors["checksums"]
        except KeyError as error:
            raise CorruptError("not a feature segment") from error
        count = len(keys)
        if keys.shape != (count, KEY_WORDS) or self._rows.shape[:1] != (count,) or checksums.shape != (count,):
            raise CorruptError("not a feature segment")
        if (
            self._rows.ndim != 2
            or self._rows.dtype != np.uint8
            or keys.dtype != np.uint64
            or checksums.dtype != np.uint64
        ):
            raise CorruptError("not a feature segment")
        self._keys = keys
        self.row_bytes = self._rows.shape[1]
        self._rows_at = status.st_size - self._rows.nbytes  # the last of the three, as the narrowest
        self.hashes = key_hashes(keys)
        self.row_hashes = checksums ^ self.hashes ^ _hash_of(owner)
        self._path = path

    def has_keys(self, places: Places, keys: Words) -> npt.NDArray[np.bool_]:
        """Returns which of the rows at `places` (k,) are those of the keys (k, 5)."""
        if not self._is_there():
            return np.zeros(len(places), bool)
        same: npt.NDArray[np.bool_] = (np.take(self._keys, places, axis=0) == keys).all(axis=1)
        return same

    def copy(self, places: Places, out: Bytes) -> bool:
        """Copies the rows at `places` (k,) into `out` (k, m), and returns whether the file is still there.

        Of a file that was replaced or cut short since, nothing is copied: touching what is gone of a mapped file would
        end the process.
        """
        if not self._is_there():
            return False
        np.take(self._rows, places, axis=0, out=out, mode="clip")  # another mode takes through a copy
        return True

    def fetch(self, places: Places) -> None:
        """Asks the disk for the rows at `places`, all at once, and waits for none. Short of memory, not all come."""
        if not hasattr(os, "posix_fadvise"):
            return
        with suppress(OSError):
            handle = os.open(self._path, os.O_RDONLY)
            try:
                for place in places.tolist():
                    start = self._rows_at + place * self.row_bytes
                    os.posix_fadvise(handle, start, self.row_bytes, os.POSIX_FADV_WILLNEED)
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
                if os.preadv(handle, [row], self._rows_at + place * self.row_bytes) != self.row_bytes:
                    return None
                hashes[number] = xxh3_64_intdigest(row)
        except OSError:
            return None
        finally:
            os.close(handle)
        return hashes

    def _is_there(self) -> bool:
        """Whether the file is what it was. Cut short it holds nothing, and takes the room of what is computed now."""
        try:
            status = self._path.stat()
            inode, size_bytes = self._mapped
            if status.st_ino == inode and status.st_size != size_bytes:
                self._path.unlink()
        except OSError:
            return False
        return (status.st_ino, status.st_size) == self._mapped


def write_segment(folder: Path, sequence: int, owner: str, keys: Words, pieces: Sequence[Bytes]) -> Path:
    """Writes rows as a new segment, there whole or not at all. They come in pieces, which are not put together first.

    Not synced: what a power cut takes or tears is found by its checksum, and computed again.
    """
    checksums = np.concatenate([row_hashes(rows) for rows in pieces]) ^ key_hashes(keys) ^ _hash_of(owner)
    layout = [
        ("checksums", "U64", checksums.shape),
        ("keys", "U64", keys.shape),
        ("rows", "U8", (len(keys), pieces[0].shape[1])),
    ]
    path = folder / f"{sequence:08d}-{uuid.uuid4().hex[:8]}.safetensors"
    staged = path.with_suffix(".tmp")
    try:
        with staged.open("wb") as file:
            file.write(tensors_header(layout))
            for array in (checksums, keys, *pieces):
                file.write(array.data)
        os.replace(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    return path


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
