"""Segments: rows of one trunk's features in one file that never changes. docs/formats.md has every byte.

A segment is canonical safetensors with

    keys       (n, 5) uint64   example digest (4 words) and view
    rows       (n, m) uint64   the row's bytes, filled up with zeros to whole words
    checksums  (n,)   uint64   over the trunk's digest, the key and the row

The checksum covers the trunk and the key's hash, so a row under another's name is as wrong as a flipped bit.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from frostline_server.features.checksums import Words, row_checksums
from frostline_zoo.errors import CorruptError
from frostline_zoo.tensors import map_tensors, tensors_header

KEY_WORDS = 5
OVERHEAD_BYTES = 56  # of each row: its key, its checksum, and what fills it up to whole words
_MAX_HEADER_BYTES = 4096


def feature_keys(digests: np.ndarray[tuple[int, int], np.dtype[np.uint8]], view: int = 0) -> Words:
    """Returns the keys of examples by their digests: (n, 32) uint8 -> (n, 5) words."""
    keys = np.empty((len(digests), KEY_WORDS), np.uint64)
    keys[:, :4] = np.ascontiguousarray(digests).view(np.uint64)
    keys[:, 4] = view
    return keys


class Segment:
    """One mapped file of rows.

    Attributes:
        hashes: (n,) of the keys.
        row_checksums: (n,), what `row_checksums` gives for each row that is what was stored under its key.
        row_words: how many words a row has.
    """

    def __init__(self, path: Path, trunk: str) -> None:
        """Maps the file at `path`.

        Raises:
            CorruptError: it is not a segment.
        """
        status = path.stat()
        self._mapped = (status.st_ino, status.st_size)
        tensors = map_tensors(path)
        try:
            keys, self._rows, checksums = tensors["keys"], tensors["rows"], tensors["checksums"]
        except KeyError as error:
            raise CorruptError("not a feature segment") from error
        count = len(keys)
        if keys.shape != (count, KEY_WORDS) or self._rows.shape[:1] != (count,) or checksums.shape != (count,):
            raise CorruptError("not a feature segment")
        if self._rows.ndim != 2 or any(array.dtype != np.uint64 for array in (keys, self._rows, checksums)):
            raise CorruptError("not a feature segment")
        self._keys = keys
        self.row_words = self._rows.shape[1]
        self._rows_at = status.st_size - self._rows.nbytes  # the last of the three, by name
        self.hashes = row_checksums(keys)
        self.row_checksums = checksums - _checksums_of_keys(trunk, self.hashes)
        self._path = path

    def has_keys(self, places: np.ndarray[tuple[int], np.dtype[np.int64]], keys: Words) -> np.ndarray[Any, Any]:
        """Returns which of the rows at `places` (k,) are those of the keys (k, 5)."""
        if not self._is_there():
            return np.zeros(len(places), bool)
        same: np.ndarray[Any, Any] = (np.take(self._keys, places, axis=0) == keys).all(axis=1)
        return same

    def copy(self, places: np.ndarray[tuple[int], np.dtype[np.int64]], out: Words) -> bool:
        """Copies the rows at `places` (k,) into `out` (k, m), and returns whether the file is still there.

        Of a file that was replaced or cut short since, nothing is copied: touching what is gone of a mapped file would
        end the process.
        """
        if not self._is_there():
            return False
        np.take(self._rows, places, axis=0, out=out, mode="clip")  # another mode takes through a copy
        return True

    def fetch(self, places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        """Asks the disk for the rows at `places`, all at once, and waits for none. Short of memory, not all come."""
        if not hasattr(os, "posix_fadvise"):
            return
        row_bytes = self.row_words * 8
        with suppress(OSError):
            handle = os.open(self._path, os.O_RDONLY)
            try:
                for place in places.tolist():
                    start = self._rows_at + place * row_bytes
                    os.posix_fadvise(handle, start, row_bytes, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(handle)

    def read(
        self,
        places: np.ndarray[tuple[int], np.dtype[np.int64]],
        out: Words,
        to: np.ndarray[tuple[int], np.dtype[np.int64]],
    ) -> bool:
        """Reads the rows at `places` (k,) from the disk, and nothing else, to the places `to` (k,) of `out`; returns
        whether the file is still there, and what it was.

        A mapped row that is not in memory comes page by page as it is touched, each of them with neighbours that nobody
        needs. Where memory is short these take the place of rows that were asked for, and all is read many times over.
        """
        row_bytes = self.row_words * 8
        try:
            handle = os.open(self._path, os.O_RDONLY)
        except OSError:
            return False
        try:
            status = os.fstat(handle)
            if (status.st_ino, status.st_size) != self._mapped:
                return False
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
            for place, target in zip(places.tolist(), to.tolist(), strict=True):
                if os.preadv(handle, [out[target].data], self._rows_at + place * row_bytes) != row_bytes:
                    return False
        except OSError:
            return False
        finally:
            os.close(handle)
        return True

    def _is_there(self) -> bool:
        try:
            status = self._path.stat()
        except OSError:
            return False
        return (status.st_ino, status.st_size) == self._mapped


def write_segment(folder: Path, sequence: int, trunk: str, keys: Words, pieces: Sequence[Words]) -> Path:
    """Writes rows as a new segment, there whole or not at all. They come in pieces, which are not put together first.

    Not synced: what a power cut takes or tears is found by its checksum, and computed again.
    """
    checksums = _checksums_of_keys(trunk, row_checksums(keys)) + np.concatenate(
        [row_checksums(rows) for rows in pieces]
    )
    count, row_words = len(keys), pieces[0].shape[1]
    shapes = {"checksums": (count,), "keys": keys.shape, "rows": (count, row_words)}
    path = folder / f"{sequence:08d}-{uuid.uuid4().hex[:8]}.safetensors"
    staged = path.with_suffix(".tmp")
    try:
        with staged.open("wb") as file:
            file.write(tensors_header([(name, "U64", shape) for name, shape in shapes.items()]))
            for array in (checksums, keys, *pieces):
                file.write(array.data)
        os.replace(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    return path


def segment_row_count(path: Path) -> int:
    """Returns how many rows the segment at `path` says it holds; 0 for a file that says nothing of the kind."""
    with path.open("rb") as file:
        try:
            header = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), _MAX_HEADER_BYTES)))
            return int(header["keys"]["shape"][0])
        except (ValueError, KeyError, TypeError, IndexError, ArithmeticError, RecursionError):
            return 0


def _checksums_of_keys(trunk: str, hashes: Words) -> Words:
    name = np.frombuffer(bytes.fromhex(trunk.removeprefix("sha256:")), np.uint64)[None, :]
    return hashes * np.uint64(3) + row_checksums(name) * np.uint64(5)
