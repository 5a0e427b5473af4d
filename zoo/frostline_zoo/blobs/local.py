"""The local blob store: one file a blob, in the data folder.

    DATA/blobs/sha256/ab/cdef...          a blob
    DATA/blobs/sha256/ab/cdef....delta    a blob as what differs from another: that one's digest, its own size, a delta
    DATA/blobs/sha256/ab/cdef....changed  one that was found changed, kept for whoever looks into it
    DATA/staging/put-...                  one that is being written

The order of every write: staged and hashed on the same file system, synced, renamed, the folder synced.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import Buffer

from frostline_zoo.blobs.delta import decode, encode
from frostline_zoo.blobs.staged import PIECE_BYTES, StagedFile, refusing_when_full
from frostline_zoo.blobs.store import BlobStore, corrupt
from frostline_zoo.errors import CorruptError, NotFoundError, ZooError
from frostline_zoo.files import make_folder, publish, sync_folder


class LocalBlobStore(BlobStore):
    """Keeps blobs as files. Several processes may use one data folder at once."""

    def __init__(self, data: Path) -> None:
        """Opens the store in the data folder `data`, made where it is missing."""
        self._blobs = data / "blobs" / "sha256"
        self.staging = data / "staging"
        make_folder(self._blobs)
        make_folder(self.staging)
        for first in range(256):  # all at once, so that no blob's name depends on a folder that is not yet durable
            (self._blobs / f"{first:02x}").mkdir(exist_ok=True)
        sync_folder(self._blobs)

    def local_path(self, digest: str) -> Path:
        """Returns where the blob's file is. Its bytes are not checked; whoever maps it checks them.

        Raises:
            NotFoundError: the store holds no such blob.
            CorruptError: it did, until the stored bytes changed.
        """
        self.size(digest)
        self._make_whole(digest)
        return self._path(digest)

    def verified_path(self, digest: str) -> Path:
        """Returns where the blob's file is, its bytes checked now.

        Raises:
            NotFoundError: the store holds no such blob.
            CorruptError: the stored bytes have changed.
        """
        for _ in self.read(digest):
            pass
        return self.local_path(digest)

    def stage(self) -> StagedFile:
        """Returns an empty file on the store's file system, to be filled and put."""
        return StagedFile(self.staging / f"put-{os.getpid()}-{secrets.token_hex(8)}")

    def _path(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        return self._blobs / name[:2] / name[2:]

    def _absent(self, digest: str) -> NotFoundError | CorruptError:
        path = self._path(digest)
        changed = _aside(path).exists() or _aside(_delta(path)).exists()
        return corrupt(digest) if changed else super()._absent(digest)

    def _size(self, digest: str) -> int | None:
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError:
            difference = self._difference(digest)
            return None if difference is None else difference.size

    def _pieces(self, digest: str) -> Iterator[bytes]:
        try:
            file = self._path(digest).open("rb", buffering=0)
        except FileNotFoundError:
            yield self._from_difference(digest)
            return
        with file:
            while piece := file.read(PIECE_BYTES):
                yield piece

    def _write(self, digest: str, content: Buffer, like: str | None) -> None:
        shorter = self._shorter(bytes(content), like) if like and len(memoryview(content)) <= PIECE_BYTES else None
        with self.stage() as staged:
            staged.append(shorter or content)
            staged.sync()
            self._publish(staged.path, _delta(self._path(digest)) if shorter else self._path(digest))

    def _shorter(self, content: bytes, like: str) -> bytes | None:
        """Returns what to store of `content` as a difference; None where that saves little."""
        difference = self._difference(like)
        base = like if difference is None else difference.base  # differences of differences would make long chains
        try:
            delta = encode(content, self.get(base))
        except ZooError:
            return None
        stored = _Difference(base, len(content), delta).pack()
        return stored if len(stored) < len(content) // 2 else None

    def _difference(self, digest: str) -> _Difference | None:
        try:
            return _Difference.unpack(_delta(self._path(digest)).read_bytes())
        except FileNotFoundError:
            return None

    def _from_difference(self, digest: str) -> bytes:
        difference = self._difference(digest)
        if difference is None:  # set aside or deleted since its size was asked
            raise self._absent(digest)
        try:
            return decode(difference.delta, self.get(difference.base))
        except (ValueError, ZooError):
            return b""  # which is not what the digest names, so it is found out like any other change

    def _make_whole(self, digest: str) -> None:
        if not self._path(digest).exists():
            self._write(digest, self.get(digest), None)

    def _take(self, digest: str, path: Path) -> None:
        self._publish(path, self._path(digest))

    def _publish(self, staged: Path, path: Path) -> None:
        with refusing_when_full():
            publish(staged, path)
        _aside(path).unlink(missing_ok=True)

    def _settle(self, digest: str) -> None:
        sync_folder(self._path(digest).parent)

    def _set_aside(self, digest: str) -> None:
        for path in (self._path(digest), _delta(self._path(digest))):
            if path.exists():
                publish(path, _aside(path))


@dataclass(frozen=True)
class _Difference:
    """A blob of `size` bytes as a delta of the blob `base`. Stored: 71 bytes, 8 bytes (little-endian), the delta."""

    base: str
    size: int
    delta: bytes

    def pack(self) -> bytes:
        return self.base.encode() + self.size.to_bytes(8, "little") + self.delta

    @classmethod
    def unpack(cls, content: bytes) -> _Difference:
        return cls(content[:71].decode("ascii", "replace"), int.from_bytes(content[71:79], "little"), content[79:])


def _delta(path: Path) -> Path:
    return path.with_name(f"{path.name}.delta")


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.changed")
