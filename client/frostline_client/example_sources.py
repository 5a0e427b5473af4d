"""Where the examples of a push come from: arrays in memory, or image files that are read as they are sent."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_client.example_digests import IMAGE_SPEC, MAX_CONTENT_BYTES, array_spec, digests_of
from frostline_client.streams import MESSAGE_BYTES

Places = npt.NDArray[np.int64]
"""Which examples, counted from 0."""

FILES_PER_MESSAGE = 4096
_READ_BYTES = 1 << 16


@dataclass(frozen=True)
class Piece:
    """Whole examples that go into one message.

    Attributes:
        places: which they are.
        data: their contents, one after the other.
        sizes: the size of each, where the spec does not say it.
    """

    places: Places
    data: bytes | memoryview
    sizes: list[int]


class Source(ABC):
    """Examples that can be read any number of times.

    Attributes:
        spec: what they are.
        refused: those that cannot be read, and why, as far as that has shown.
    """

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self.refused: dict[int, str] = {}

    @abstractmethod
    def __len__(self) -> int:
        """Returns how many there are."""

    @abstractmethod
    def pieces(self, places: Places) -> Iterator[Piece]:
        """Yields those of the examples that can be read, in order."""

    @abstractmethod
    def name(self, place: int) -> str:
        """Returns what people know an example by."""

    def digests(self, places: Places) -> Iterator[tuple[Places, npt.NDArray[np.uint8]]]:
        """Yields those of the examples that can be read, a group at a time, with their digests."""
        for piece in self.pieces(places):
            view, sizes = (
                memoryview(piece.data),
                piece.sizes or [len(piece.data) // len(piece.places)] * len(piece.places),
            )
            stops = np.cumsum(sizes).tolist()
            contents = (view[stop - size : stop] for stop, size in zip(stops, sizes, strict=True))
            yield piece.places, digests_of(self.spec, contents)


class ArraySource(Source):
    """The rows of an array (n, ...). What is no number is refused here as the server would, before anything is sent."""

    def __init__(self, x: npt.NDArray[Any]) -> None:
        """Raises InvalidError where the rows cannot be examples."""
        super().__init__(array_spec(x))
        self._x = x
        self._dtype = x.dtype.newbyteorder("<")
        self._rows_per_message = max(1, MESSAGE_BYTES // x[:1].nbytes)
        if x.dtype.kind == "f":
            self.refused = self._without_numbers()

    def __len__(self) -> int:
        return len(self._x)

    def pieces(self, places: Places) -> Iterator[Piece]:
        """Yields the rows, about 1 MiB at a time."""
        if self.refused:
            places = places[~np.isin(places, list(self.refused))]
        for start in range(0, len(places), self._rows_per_message):
            part = places[start : start + self._rows_per_message]
            first, last = int(part[0]), int(part[-1])
            is_run = last - first == len(part) - 1  # a slice, which unlike a selection is not copied twice
            chosen = self._x[first : last + 1] if is_run else self._x[part]
            content = np.ascontiguousarray(chosen.astype(self._dtype, copy=False))
            yield Piece(part, content.reshape(-1).view(np.uint8).data, [])

    def name(self, place: int) -> str:
        """Returns `x[place]`."""
        return f"x[{place}]"

    def _without_numbers(self) -> dict[int, str]:
        found: dict[int, str] = {}
        for start in range(0, len(self._x), self._rows_per_message):
            bad = ~np.isfinite(self._x[start : start + self._rows_per_message])
            for place in np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1)).tolist() if bad.any() else ():
                where = tuple(int(side) for side in np.argwhere(bad[place])[0])
                kind = "NaN" if np.isnan(self._x[start + place][where]) else "infinity"
                found[start + place] = f"has {kind} at {','.join(map(str, where))}"
        return found


class FileSource(Source):
    """Image files."""

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        """Takes files by their paths within `folder`. They are read later."""
        super().__init__(IMAGE_SPEC)
        self._folder = str(folder)
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def pieces(self, places: Places) -> Iterator[Piece]:
        """Yields the files, about 1 MiB at a time."""
        read: list[int] = []
        contents: list[bytes] = []
        total = 0
        for place in places.tolist():
            try:
                content = _read(f"{self._folder}/{self._files[place]}")
            except OSError:
                self.refused[place] = "cannot be read"
                continue
            if len(content) > MAX_CONTENT_BYTES:
                self.refused[place] = "is larger than 3 MiB"
                continue
            if contents and (total + len(content) > MESSAGE_BYTES or len(contents) == FILES_PER_MESSAGE):
                yield _joined(read, contents)
                read, contents, total = [], [], 0
            read.append(place)
            contents.append(content)
            total += len(content)
        if contents:
            yield _joined(read, contents)

    def name(self, place: int) -> str:
        """Returns the file's path within the folder."""
        return self._files[place]


def _joined(places: list[int], contents: list[bytes]) -> Piece:
    return Piece(np.array(places, np.int64), b"".join(contents), [len(content) for content in contents])


def _read(path: str) -> bytes:
    """Returns a file's bytes. Small files are most of them, and Python's own file objects take twice as long."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        content = os.read(descriptor, _READ_BYTES)
        if len(content) < _READ_BYTES:
            return content
        pieces = [content]
        while content := os.read(descriptor, MESSAGE_BYTES):
            pieces.append(content)
            if sum(map(len, pieces)) > MAX_CONTENT_BYTES:
                break
        return b"".join(pieces)
    finally:
        os.close(descriptor)
