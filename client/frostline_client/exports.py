"""Exports as they arrive: a file, or a folder of files, that is there whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Protocol, Self

from frostline_client.errors import CorruptError
from frostline_client.streams import Progress, ReceivedFile, naming

FOLDER_FORMATS = ("saved_model",)
"""The formats that are folders; the others are files."""


class Received(Protocol):
    """What is being received: a file or a folder."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def write(self, piece: bytes | memoryview) -> None:
        """Takes the next piece."""

    def keep(self) -> None:
        """Gives what was received its name, durably."""


def opened(path: Path, format: str) -> Received:
    """Returns what an export of that format is received into.

    Raises:
        OSError: it cannot be made at `path`; nothing was fetched yet.
    """
    return ReceivedFolder(path) if format in FOLDER_FORMATS else ReceivedFile(path)


def receive(received: Received, pieces: Iterable[Any], progress: Progress | None) -> int:
    """Writes the pieces of an export, and returns their size in bytes.

    Raises:
        OSError: they cannot be written.
        CorruptError: the files are not those that the format has.
    """
    size_bytes = done = 0
    for piece in pieces:
        size_bytes = max(size_bytes, piece.size_bytes)
        if piece.member:
            if not isinstance(received, ReceivedFolder):
                raise CorruptError("the server sent a folder where a file was asked for: update this client")
            received.begin(piece.member)
        received.write(piece.data)
        done += len(piece.data)
        if progress is not None:
            progress(done, size_bytes)
    received.keep()
    return done


class ReceivedFolder:
    """A folder that appears under its name whole or not at all, its files one after the other.

    Folders on the way to it are made when it is kept. Leaving the `with` block without `keep` leaves nothing behind. An
    OSError names `path`.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError where no folder of that name can be made: it is there already, and not empty."""
        self._path = path
        if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
            number = errno.ENOTEMPTY if path.is_dir() else errno.EEXIST
            raise OSError(number, os.strerror(number), str(path))
        # In the nearest folder that is there: that shows now whether one can be made, and is on the same disk.
        self._absent = [folder for folder in path.parents if not os.path.lexists(folder)]
        nearest = path.parents[len(self._absent)]
        self._staged = nearest / f".{path.name}.{os.getpid()}.tmp"
        with naming(path):
            self._staged.mkdir()
        self._file: ReceivedFile | None = None

    def begin(self, member: str) -> None:
        """Ends the file before, and starts another one, `member` being its name in the folder.

        Raises:
            CorruptError: the name leads out of the folder, or was there already.
        """
        self._end()
        name = PurePosixPath(member)
        path = self._staged / name
        if name.is_absolute() or ".." in name.parts or not name.parts or "\\" in member or path.exists():
            raise CorruptError(f"the server sent a file named {member[:80]!r}, which no folder of this format has")
        with naming(self._path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = ReceivedFile(path)

    def write(self, piece: bytes | memoryview) -> None:
        """Takes the next piece of the file that was begun.

        Raises:
            CorruptError: none was.
        """
        if self._file is None:
            raise CorruptError("the server sent a file where a folder was asked for: update this client")
        with naming(self._path):
            self._file.write(piece)

    def keep(self) -> None:
        """Gives the folder its name, durably."""
        self._end()
        with naming(self._path):
            _sync_folder(self._staged)
            with ExitStack() as made:
                for folder in reversed(self._absent):
                    folder.mkdir(exist_ok=True)
                    made.callback(_remove_empty, folder)
                os.replace(self._staged, self._path)
                made.pop_all()
            for folder in (self._path, *self._absent):
                _sync_folder(folder.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.__exit__(kind, error, at)
        shutil.rmtree(self._staged, ignore_errors=True)

    def _end(self) -> None:
        if self._file is not None:
            with naming(self._path), self._file as file:
                file.keep()
            self._file = None


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # somebody else has put something there
        folder.rmdir()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
