"""Blobs: bytes that never change, named by their digest. Only what the other side lacks is transferred."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from frostline.v1.blob_service_pb2 import (
    FindMissingBlobsRequest,
    QueryUploadRequest,
    QueryUploadResponse,
    ReadBlobRequest,
    UploadBlobRequest,
)
from frostline.v1.blob_service_pb2_grpc import BlobServiceStub
from frostline.wire import WithData
from frostline_client.channel import Channel
from frostline_client.errors import CorruptError, OutOfRangeError, UnavailableError
from frostline_client.patience import Patience
from frostline_client.streams import MESSAGE_BYTES, Progress, ReceivedFile, Source, digest_of

MAX_DIGESTS = 10_000

LARGE_BYTES = 16 << 20
"""From this size on, hashing takes so long that a content is sent meanwhile, although the server may have it."""


class _IsThereError(Exception):
    """The server has more of a blob than this upload has sent."""


class Blobs:
    """The blobs of a server."""

    def __init__(self, channel: Channel) -> None:
        self._stub: Any = BlobServiceStub(channel)

    def find_missing(self, digests: Sequence[str]) -> list[str]:
        """Returns those of `digests` that the server lacks, in their order."""
        missing: list[str] = []
        for start in range(0, len(digests), MAX_DIGESTS):
            request = FindMissingBlobsRequest(digests=digests[start : start + MAX_DIGESTS])
            missing += self._stub.FindMissingBlobs(request).missing_digests
        return missing

    def upload(self, content: bytes | memoryview | Path, *, progress: Progress | None = None) -> str:
        """Stores a content, from memory or from a file, and returns its digest.

        It is durable when this returns. A broken connection, and an upload that an earlier program left unfinished, go
        on from where they stopped. A large content is hashed while it is sent.
        """
        source, patience = Source(content), Patience()
        with ThreadPoolExecutor(1, "frostline-hash") as hasher:
            digest = hasher.submit(source.digest)
            if source.size_bytes < LARGE_BYTES:
                digest.result()
            is_new = source.size_bytes <= MESSAGE_BYTES or not digest.done()  # not worth, or not yet possible, to ask
            while True:
                try:
                    state = QueryUploadResponse() if is_new else self._state(digest.result())
                    patience.progressed()
                    if not state.complete:
                        self._stub.UploadBlob(self._messages(source, digest, state.committed_size_bytes, progress))
                    return digest.result()
                except _IsThereError:
                    pass
                except UnavailableError as error:
                    patience.wait(error)
                except OutOfRangeError:  # another upload of the same blob has moved its end
                    text = "the same blob is being uploaded by another client: try again later"
                    patience.wait(UnavailableError(text))
                is_new = False

    def _state(self, digest: str) -> QueryUploadResponse:
        state: QueryUploadResponse = self._stub.QueryUpload(QueryUploadRequest(digest=digest))
        return state

    def _messages(
        self, source: Source, digest: Future[str], offset: int, progress: Progress | None
    ) -> Iterator[UploadBlobRequest | WithData]:
        """Yields an upload's messages; the digest goes with the first one that it is known for."""
        message = UploadBlobRequest(size_bytes=source.size_bytes, offset=offset)
        is_named = digest.done()
        if is_named:
            message.digest = digest.result()
        for piece in source.pieces(offset, progress):
            if not is_named and digest.done():
                message.digest, is_named = digest.result(), True
                state = self._state(message.digest)
                if state.complete or state.committed_size_bytes > offset:
                    raise _IsThereError
            yield WithData(message, piece)
            offset += len(piece)
            message = UploadBlobRequest()
        if not is_named:
            message.digest = digest.result()
        if message.ByteSize():
            yield message

    def read(self, digest: str) -> bytes:
        """Returns a blob's bytes.

        Raises:
            NotFoundError: the server holds no such blob.
            CorruptError: the bytes do not have that digest.
        """
        pieces: list[bytes | memoryview] = []
        self._receive(digest, pieces.append, None)
        content = b"".join(pieces)
        _check(digest, digest_of(content))
        return content

    def download(self, digest: str, path: Path, *, progress: Progress | None = None) -> int:
        """Writes a blob to the file `path`, verified and durable, and returns its size in bytes.

        Raises:
            NotFoundError: the server holds no such blob.
            CorruptError: the bytes do not have that digest. No file is left.
        """
        with ReceivedFile(path) as file:
            self._receive(digest, file.write, progress)
            _check(digest, file.digest())
            file.keep()
            return file.size_bytes

    def _receive(self, digest: str, take: Callable[[bytes | memoryview], None], progress: Progress | None) -> None:
        """Gives a blob's pieces to `take`, and goes on after a broken connection from where it stopped."""
        patience, offset, size_bytes = Patience(), 0, -1
        while offset != size_bytes:
            try:
                for piece in self._stub.ReadBlob(ReadBlobRequest(digest=digest, offset=offset)):
                    patience.progressed()
                    size_bytes = max(size_bytes, piece.size_bytes)
                    take(piece.data)
                    offset += len(piece.data)
                    if progress is not None:
                        progress(offset, size_bytes)
                return
            except UnavailableError as error:
                patience.wait(error)


def _check(wanted: str, found: str) -> None:
    if found != wanted:
        raise CorruptError(f"what arrived for {wanted} has another digest: try again", reason="DIGEST_MISMATCH")
