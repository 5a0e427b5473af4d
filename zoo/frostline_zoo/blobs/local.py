"""The local blob store: one file a blob, in the data folder.

    DATA/blobs/sha256/ab/cdef...          a blob
    DATA/blobs/sha256/ab/cdef....changed  one that was found changed, kept for whoever looks into it
    DATA/staging/put-...                  one that is being written

The order of every write: staged and hashed on the same file system, synced, renamed, the folder synced.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from typing_extensions import Buffer

from frostline_zoo.blobs.staged import PIECE_BYTES, StagedFile, refusing_when_full
from frostline_zoo.blobs.store import BlobStore, corrupt
from frostline_zoo.errors import CorruptError, NotFoundError, UnavailableError
from frostline_zoo.files import SyncError, make_folder, sync_folder


class LocalBlobStore(BlobStore):
    """Keeps blobs as files. Several processes may use one data folder at once."""

    def __init__(self, data: Path) -> None:
        """Opens the store in the data folder `data`, made where it is missing."""
        self._blobs = data / "blobs" / "sha256"
        self.staging = data / "staging"
        self._sync_failed = False
        make_folder(self._blobs)
        make_folder(self.staging)
        for first in range(256):  # all at once, so that no blob's name depends on a folder that is not yet durable
            (self._blobs / f"{first:02x}").mkdir(exist_ok=True)
        sync_folder(self._blobs)

    def put(self, content: Buffer) -> str:
        """Stores `content` as every store does.

        Raises:
            ExhaustedError: the disk is full.
            UnavailableError: the disk has failed.
        """
        with self._trusting_the_disk():
            return super().put(content)

    def put_staged(self, staged: StagedFile, digest: str) -> None:
        """Stores what `staged` holds as every store does.

        Raises:
            InvalidError: it has another digest.
            ExhaustedError: the disk is full.
            UnavailableError: the disk has failed.
        """
        with self._trusting_the_disk():
            super().put_staged(staged, digest)

    def local_path(self, digest: str) -> Path:
        """Returns the blob's own file, as every store returns one."""
        self.size(digest)
        return self._path(digest)

    @contextmanager
    def _trusting_the_disk(self) -> Iterator[None]:
        """Refuses to write from the first sync that failed on, for as long as the store is open.

        The kernel drops what it could not write and reports it once. So the next sync may succeed for nothing, and that
        a file is there says nothing about the disk. Source: Rebello et al., "Can Applications Recover from fsync
        Failures?", USENIX ATC 2020.
        """
        message = "the server's disk failed to keep what was written: check the disk, then restart the server"
        if self._sync_failed:
            raise UnavailableError(message, reason="STORAGE_FAILED")
        try:
            yield
        except SyncError as error:
            self._sync_failed = True
            raise UnavailableError(message, reason="STORAGE_FAILED") from error

    def _path(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        return self._blobs / name[:2] / name[2:]

    def _absent(self, digest: str) -> NotFoundError | CorruptError:
        return corrupt(digest) if _aside(self._path(digest)).exists() else super()._absent(digest)

    def _size(self, digest: str) -> int | None:
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def _pieces(self, digest: str) -> Iterator[bytes]:
        try:
            file = self._path(digest).open("rb", buffering=0)
        except FileNotFoundError:  # set aside or deleted since its size was asked
            raise self._absent(digest) from None
        with file:
            while piece := file.read(PIECE_BYTES):
                yield piece

    def _write(self, digest: str, content: Buffer) -> None:
        with self.stage() as staged:
            staged.append(content)
            staged.sync()
            self._take(digest, staged.path)

    def _take(self, digest: str, path: Path) -> None:
        destination = self._path(digest)
        with refusing_when_full():
            os.replace(path, destination)
        sync_folder(destination.parent)
        _aside(destination).unlink(missing_ok=True)

    def _settle(self, digest: str) -> None:
        sync_folder(self._path(digest).parent)

    def _set_aside(self, digest: str) -> None:
        path = self._path(digest)
        if path.exists():
            os.replace(
                path, _aside(path)
            )  # not synced: a power cut that undoes it leaves a blob to be found changed again


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.changed")
