"""Staged files: bytes on their way into a store, hashed while they are written."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from typing_extensions import Buffer

from frostline_zoo.errors import full_disk
from frostline_zoo.files import sync

PIECE_BYTES = 1 << 20
FLUSH_BYTES = 8 << 20


class StagedFile:
    """A file that only grows, and that knows the digest of what it holds.

    It ends in a store that takes it, or with `discard`; `close` alone leaves it to be opened again.
    """

    def __init__(self, path: Path) -> None:
        """Opens `path`, made where it is missing; what it holds already is read and hashed."""
        self.path = path
        self._hash = hashlib.sha256()
        self._flushed = 0
        self._file = path.open("a+b", buffering=0)
        self.size = 0
        self._file.seek(0)
        while piece := self._file.read(PIECE_BYTES):
            self._hash.update(piece)
            self.size += len(piece)

    def append(self, piece: Buffer) -> None:
        """Adds `piece` at the end.

        Raises:
            ExhaustedError: the disk is full.
        """
        view = memoryview(piece)
        with refusing_when_full():
            written = 0
            while written < len(view):  # a nearly full disk takes a part and refuses the rest
                done = self._file.write(view[written:])
                self._hash.update(view[written : written + done])
                self.size += done
                written += done
        if self.size - self._flushed >= FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        """Has the kernel start to write what it would otherwise leave for `sync` to wait for."""
        if hasattr(os, "posix_fadvise"):  # pages that are not yet written are not dropped, only written
            advice = os.POSIX_FADV_DONTNEED
            os.posix_fadvise(self._file.fileno(), self._flushed, self.size - self._flushed, advice)
        self._flushed = self.size

    def move(self, path: Path) -> None:
        """Gives the file another path on the same file system, in the place of what is there."""
        os.replace(self.path, path)
        self.path = path

    @property
    def digest(self) -> str:
        """The digest of what it holds so far."""
        return "sha256:" + self._hash.hexdigest()

    def sync(self) -> None:
        """Makes the bytes durable; the name follows when a store takes the file.

        Where that fails the file is removed: a second sync would vouch for bytes that the kernel has dropped.

        Raises:
            ExhaustedError: the disk is full.
            SyncError: the disk failed.
        """
        try:
            with refusing_when_full():
                sync(self._file.fileno())
        except BaseException:
            self.discard()
            raise

    def close(self) -> None:
        """Lets go of the file, which stays where it is."""
        self._file.close()

    def discard(self) -> None:
        """Closes and removes the file, where no store has taken it."""
        self.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


@contextmanager
def refusing_when_full() -> Iterator[None]:
    """Turns the system's word for a full disk into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise full_disk() from error
        raise
