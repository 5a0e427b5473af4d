"""Contents as pieces on the wire: where they come from, and files that they become."""

from __future__ import annotations

import errno
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

MESSAGE_BYTES = 1 << 20
"""The most data in one message: larger ones gain nothing, and gRPC refuses 4 MiB."""

PENDING_WRITES = 8
FLUSH_BYTES = 8 << 20

Progress = Callable[[int, int], None]
"""Told how much is done and how much there is, in bytes, as a transfer goes on."""


class Source:
    """A content to send: bytes, or a file."""

    def __init__(self, content: bytes | memoryview | Path) -> None:
        self._content = content
        self.size_bytes = content.stat().st_size if isinstance(content, Path) else len(memoryview(content).cast("B"))

    def digest(self) -> str:
        """Returns the digest of the content."""
        if not isinstance(self._content, Path):
            return digest_of(self._content)
        with self._content.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"

    def pieces(self, offset: int = 0, progress: Progress | None = None) -> Iterator[bytes | memoryview]:
        """Yields the content from `offset` on, a message at a time."""
        for piece in self._cut(offset):
            yield piece
            offset += len(piece)
            if progress is not None:
                progress(offset, self.size_bytes)

    def _cut(self, offset: int) -> Iterator[bytes | memoryview]:
        if not isinstance(self._content, Path):
            view = memoryview(self._content).cast("B")
            for start in range(offset, len(view), MESSAGE_BYTES):
                yield view[start : start + MESSAGE_BYTES]
            return
        with self._content.open("rb", buffering=0) as file:
            file.seek(offset)
            while piece := file.read(MESSAGE_BYTES):
                yield piece


class ReceivedFile:
    """A file that appears under its name whole or not at all.

    Pieces are hashed and written in a thread of its own, so that the wire need not wait for either. Leaving the `with`
    block without `keep` leaves nothing behind. An OSError names `path`, not the file that is written on the way.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError where no file of that name can be written, before anything is fetched for it."""
        self._path = path
        if path.exists() and not path.is_file():
            number = errno.EISDIR if path.is_dir() else errno.EINVAL
            raise OSError(number, os.strerror(number), str(path))
        self._staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        with naming(path):
            self._file = self._staged.open("wb", buffering=0)
        self._hash = hashlib.sha256()
        self._written = self._flushed = 0
        self._writer = ThreadPoolExecutor(1, "frostline-receive")
        self._pending: deque[Future[None]] = deque()
        self.size_bytes = 0

    def write(self, piece: bytes | memoryview) -> None:
        """Takes the next piece. Raises OSError where an earlier one could not be written."""
        self.size_bytes += len(piece)
        self._pending.append(self._writer.submit(self._take, piece))
        if len(self._pending) > PENDING_WRITES:
            self._pending.popleft().result()

    def digest(self) -> str:
        """Returns the digest of what was written, once all of it is."""
        while self._pending:
            self._pending.popleft().result()
        return f"sha256:{self._hash.hexdigest()}"

    def keep(self) -> None:
        """Gives the file its name, durably: synced, renamed, and its folder synced."""
        while self._pending:
            self._pending.popleft().result()
        with naming(self._path):
            os.fsync(self._file.fileno())
            os.replace(self._staged, self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._writer.shutdown()
        self._file.close()
        self._staged.unlink(missing_ok=True)

    def _take(self, piece: bytes | memoryview) -> None:
        self._hash.update(piece)
        view = memoryview(piece)
        with naming(self._path):
            while view:
                view = view[self._file.write(view) :]
        self._written += len(piece)
        if self._written - self._flushed >= FLUSH_BYTES:
            if hasattr(os, "posix_fadvise"):  # the kernel starts to write, so that `keep` need not wait for all of it
                advice = os.POSIX_FADV_DONTNEED
                os.posix_fadvise(self._file.fileno(), self._flushed, self._written - self._flushed, advice)
            self._flushed = self._written


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Has OSErrors name `path`."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def digest_of(content: bytes | memoryview) -> str:
    """Returns the digest of `content`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
