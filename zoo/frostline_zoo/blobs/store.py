"""Blob stores: where bytes are kept under their digest.

Because a name is its content's digest, putting the same bytes twice stores them once, readers need no lock, and no
byte leaves a store without having been checked against the name that it was asked for by.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from typing_extensions import Buffer

from frostline_zoo.blobs.staged import StagedFile
from frostline_zoo.digests import checked_digest, digest_of
from frostline_zoo.errors import CorruptError, InvalidError, NotFoundError, OutOfRangeError

_AT_ONCE = 8


class BlobStore(ABC):
    """Holds blobs: bytes that never change, named by their digest.

    What must be the same in every store is here; a member says where the bytes are, in the private methods.
    Whatever `put` and its kin have returned from survives a crash and a power cut.

    Attributes:
        staging: a folder of this machine for what is on its way into the store.
    """

    staging: Path

    def stage(self) -> StagedFile:
        """Returns an empty file in the staging folder, to be filled and put."""
        return StagedFile(self.staging / f"put-{os.getpid()}-{secrets.token_hex(8)}")

    def put(self, content: Buffer) -> str:
        """Stores `content` and returns its digest.

        Raises:
            ExhaustedError: the disk is full.
            UnavailableError: the disk has failed.
        """
        digest = digest_of(content)
        if self.has(digest):
            self._settle(digest)
        else:
            self._write(digest, content)
        return digest

    def put_all(self, contents: Iterable[Buffer]) -> None:
        """Stores all of `contents`, some at once: each waits for the disk twice, which syncs several in one go.

        Raises:
            ExhaustedError, UnavailableError: as `put`; some of them may be stored.
        """
        with ThreadPoolExecutor(_AT_ONCE, "put-blobs") as threads:
            for _ in threads.map(self.put, contents):
                pass

    def put_staged(self, staged: StagedFile, digest: str) -> None:
        """Stores what `staged` holds, which is gone afterwards, where it has the digest `digest`.

        Raises:
            InvalidError: it has another one.
            ExhaustedError: the disk is full.
            UnavailableError: the disk has failed.
        """
        if staged.digest != checked_digest(digest):
            message = f"the bytes that came are not {digest}: send them again from the start"
            raise InvalidError(message, reason="DIGEST_MISMATCH", digest=digest)
        if self.has(digest):
            self._settle(digest)
            staged.discard()
            return
        staged.sync()
        staged.close()
        self._take(digest, staged.path)

    def get(self, digest: str) -> bytes:
        """Returns the bytes whose digest is `digest`.

        Raises:
            NotFoundError: the store holds no such blob.
            CorruptError: the stored bytes have changed.
        """
        return b"".join(self.read(digest))

    def read(self, digest: str, offset: int = 0, limit: int | None = None) -> Iterator[bytes]:
        """Yields the bytes from `offset` on, at most `limit`, in pieces of at most 1 MiB.

        The blob is checked whole, also where only a part of it is wanted, and the last piece is held back until then.

        Raises:
            NotFoundError: the store holds no such blob.
            OutOfRangeError: `offset` is negative or past the end.
            CorruptError: the stored bytes have changed; what was yielded before has to be thrown away.
        """
        size = self.size(digest)
        if not 0 <= offset <= size:
            message = f"offset {offset} is not in {digest}: it has {size} bytes"
            raise OutOfRangeError(message, reason="OFFSET_PAST_END", digest=digest, size_bytes=str(size))
        end = size if limit is None else min(size, offset + limit)
        return self._verified(digest, offset, end)

    def _verified(self, digest: str, start: int, end: int) -> Iterator[bytes]:
        checksum, place, held = hashlib.sha256(), 0, b""
        for piece in self._pieces(digest):
            checksum.update(piece)
            wanted = piece[max(start - place, 0) : max(end - place, 0)]
            place += len(piece)
            if wanted:
                if held:
                    yield held
                held = wanted
        if "sha256:" + checksum.hexdigest() != digest:
            self._set_aside(digest)
            raise corrupt(digest)
        if held:
            yield held

    def has(self, digest: str) -> bool:
        """Says whether the store holds the blob. Raises InvalidError where `digest` is not a digest."""
        return self._size(checked_digest(digest)) is not None

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Returns those of `digests` that the store lacks, in their order. Raises InvalidError as `has`."""
        return [digest for digest in digests if not self.has(digest)]

    def size(self, digest: str) -> int:
        """Returns a blob's size in bytes.

        Raises:
            NotFoundError: the store holds no such blob.
            CorruptError: it did, until the stored bytes changed.
        """
        size = self._size(checked_digest(digest))
        if size is None:
            raise self._absent(digest)
        return size

    @abstractmethod
    def local_path(self, digest: str) -> Path:
        """Returns a file of this machine with the blob's bytes, to be mapped. They are not checked; who maps them does.

        Raises:
            NotFoundError: the store holds no such blob.
            CorruptError: it did, until the stored bytes changed.
        """

    def _absent(self, digest: str) -> NotFoundError | CorruptError:
        return NotFoundError(f"no blob {digest}: upload it first", reason="BLOB_NOT_FOUND", digest=digest)

    @abstractmethod
    def _size(self, digest: str) -> int | None:
        """Returns the size in bytes, or None where there is no such blob."""

    @abstractmethod
    def _pieces(self, digest: str) -> Iterator[bytes]:
        """Yields the stored bytes as they are, in pieces of at most 1 MiB."""

    @abstractmethod
    def _write(self, digest: str, content: Buffer) -> None:
        """Stores `content` durably, whole or not at all."""

    @abstractmethod
    def _take(self, digest: str, path: Path) -> None:
        """Stores the synced file at `path` durably, whole or not at all, and removes it."""

    @abstractmethod
    def _settle(self, digest: str) -> None:
        """Waits until a blob that is visible is durable too: another process may be just about to sync it."""

    @abstractmethod
    def _set_aside(self, digest: str) -> None:
        """Moves a blob that has changed out of the way, so that putting it again mends it."""


def corrupt(digest: str) -> CorruptError:
    """Returns the error for a blob whose stored bytes are not those that were stored."""
    message = f"blob {digest} has changed on the server's disk: upload or import it again"
    return CorruptError(message, reason="BLOB_CORRUPT", digest=digest)
