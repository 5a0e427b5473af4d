"""Unfinished uploads: what has arrived of blobs that clients are sending, kept for an hour so that they can go on.

DATA/staging/upload-<64 hex>     the first bytes of that blob
"""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

from typing_extensions import Buffer

from frostline_zoo.blobs.staged import StagedFile
from frostline_zoo.blobs.store import BlobStore
from frostline_zoo.digests import checked_digest
from frostline_zoo.errors import InvalidError, OutOfRangeError

KEPT_SECONDS = 3600


class Staging:
    """Keeps unfinished uploads by the digest that they shall have.

    An upload has one writer: whoever goes on with it takes it over, and the writer before gets an OutOfRangeError. So
    a client that comes back is not kept out by its own broken connection. Of an upload that ends before its digest has
    come, nothing is kept.
    """

    def __init__(self, store: BlobStore) -> None:
        """Keeps uploads in the store's staging folder. Call `clean` once, before anything is written there."""
        self._store = store
        self._folder = store.staging
        self._lock = threading.Lock()
        self._writers: dict[str, Upload] = {}

    def clean(self) -> None:
        """Removes what a process that ended has left: uploads too old to go on, and everything else."""
        for path in self._folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif not (path.name.startswith("upload-") and _is_fresh(path)):
                path.unlink(missing_ok=True)

    def committed_size(self, digest: str) -> int:
        """Returns how many bytes of an unfinished upload are there; 0 where there is none."""
        path = self._path(checked_digest(digest))
        return path.stat().st_size if _is_fresh(path) else 0

    def open(self, digest: str, offset: int) -> Upload:
        """Starts an upload at `offset` 0, or goes on with one where it ended.

        Raises:
            OutOfRangeError: `offset` is neither 0 nor the committed size.
        """
        path = self._path(checked_digest(digest))
        with self._lock:
            self._expire()
            committed = self.committed_size(digest)
            if offset not in (0, committed):
                message = f"offset {offset} is not where the upload of {digest} stands: go on at {committed}"
                raise OutOfRangeError(message, reason="OFFSET_NOT_COMMITTED", committed_size_bytes=str(committed))
            before = self._writers.pop(digest, None)
            if before is not None:
                before.end()
            if offset == 0:
                path.unlink(missing_ok=True)
            upload = self._writers[digest] = Upload(StagedFile(path), digest)
        return upload

    def begin(self) -> Upload:
        """Starts an upload whose digest has yet to come."""
        return Upload(self._store.stage())

    def name(self, upload: Upload, digest: str) -> None:
        """Gives an upload that has none its digest, in the place of what has arrived of that blob before.

        Raises:
            InvalidError: `digest` is not a digest.
        """
        path = self._path(checked_digest(digest))
        with self._lock:
            before = self._writers.pop(digest, None)
            if before is not None:
                before.end()
            upload.name(digest, path)
            self._writers[digest] = upload

    def close(self, upload: Upload) -> None:
        """Ends a writer; what has arrived stays where it has a digest."""
        with self._lock:
            if self._writers.get(upload.digest) is upload:
                del self._writers[upload.digest]
        upload.end()

    def _expire(self) -> None:
        for path in self._folder.glob("upload-*"):
            if not _is_fresh(path) and path.name.replace("upload-", "sha256:") not in self._writers:
                path.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._folder / digest.replace("sha256:", "upload-")


class Upload:
    """One writer of an unfinished upload; `digest` is empty until it has come."""

    def __init__(self, staged: StagedFile, digest: str = "") -> None:
        self.digest = digest
        self._staged = staged
        self._lock = threading.Lock()
        self._ended = False

    @property
    def size(self) -> int:
        """How many bytes have arrived."""
        return self._staged.size

    def append(self, piece: Buffer) -> None:
        """Adds the next bytes.

        Raises:
            OutOfRangeError: another writer has taken the upload over.
            ExhaustedError: the disk is full.
        """
        with self._lock:
            self._check()
            self._staged.append(piece)

    def name(self, digest: str, path: Path) -> None:
        """Gives the upload its digest, and its file the path that goes with it."""
        with self._lock:
            self._staged.move(path)
            self.digest = digest

    def store(self, store: BlobStore, size: int) -> None:
        """Puts the whole blob, of `size` bytes, into `store`. Bytes that are not the blob's are thrown away.

        Raises:
            InvalidError: the bytes are not `size` bytes with the digest.
            OutOfRangeError: another writer has taken the upload over.
            ExhaustedError: the disk is full.
            UnavailableError: the disk has failed.
        """
        with self._lock:
            self._check()
            if self.size < size:
                message = f"the upload of {self.digest} ended at {self.size} of {size} bytes: go on from there"
                raise InvalidError(message, reason="UPLOAD_TOO_SHORT", committed_size_bytes=str(self.size))
            try:
                store.put_staged(self._staged, self.digest)
            except InvalidError:
                self._staged.discard()
                raise

    def discard(self) -> None:
        """Throws away what has arrived, unless another writer has taken it over."""
        with self._lock:
            if not self._ended:
                self._staged.discard()

    def end(self) -> None:
        """Lets go of the file, which goes too where no digest has come."""
        with self._lock:
            self._ended = True
            if self.digest:
                self._staged.close()
            else:
                self._staged.discard()

    def _check(self) -> None:
        if self._ended:
            message = f"another client has gone on with the upload of {self.digest}: ask QueryUpload where it stands"
            raise OutOfRangeError(message, reason="UPLOAD_TAKEN_OVER", digest=self.digest)


def _is_fresh(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < KEPT_SECONDS
    except FileNotFoundError:
        return False
