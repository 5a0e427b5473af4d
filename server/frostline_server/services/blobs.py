"""BlobService: what is missing, uploads that go on where they stopped, and verified reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from frostline.v1 import blob_service_pb2 as pb
from frostline.v1.blob_service_pb2_grpc import BlobServiceServicer
from frostline_server.services.pieces import Writing, read_ahead
from frostline_zoo.blobs.staging import Staging, Upload
from frostline_zoo.blobs.store import BlobStore
from frostline_zoo.digests import checked_digest
from frostline_zoo.errors import ExhaustedError, InvalidError, OutOfRangeError

MOST_DIGESTS = 10_000
LARGEST_PIECE_BYTES = 1 << 20


class BlobService(BlobServiceServicer):
    """Keeps blobs."""

    def __init__(self, blobs: BlobStore, staging: Staging, largest_blob_bytes: int) -> None:
        self._blobs = blobs
        self._staging = staging
        self._largest = largest_blob_bytes

    async def FindMissingBlobs(self, request: pb.FindMissingBlobsRequest, context: Any) -> pb.FindMissingBlobsResponse:
        if len(request.digests) > MOST_DIGESTS:
            message = f"{len(request.digests)} digests are too many for one call: ask for {MOST_DIGESTS} at a time"
            raise InvalidError(message, reason="TOO_MANY_DIGESTS", field="digests")
        missing = await asyncio.to_thread(self._blobs.missing, list(request.digests))
        return pb.FindMissingBlobsResponse(missing_digests=missing)

    async def UploadBlob(self, requests: AsyncIterator[pb.UploadBlobRequest], context: Any) -> pb.UploadBlobResponse:
        first = await anext(aiter(requests), None)
        if first is None:
            raise InvalidError("the upload is empty: send its digest and size first", reason="NO_FIRST_MESSAGE")
        self._check(first)
        if not await asyncio.to_thread(self._blobs.has, first.digest):
            upload = await asyncio.to_thread(self._staging.open, first.digest, first.offset)
            try:
                await _receive(upload, first, requests)
                await asyncio.to_thread(upload.store, self._blobs, first.size_bytes)
            except OutOfRangeError:  # another client has gone on with it, perhaps to its end
                if not await asyncio.to_thread(self._blobs.has, first.digest):
                    raise
            finally:
                self._staging.close(upload)
        size = await asyncio.to_thread(self._blobs.size, first.digest)
        return pb.UploadBlobResponse(committed_size_bytes=size)

    async def QueryUpload(self, request: pb.QueryUploadRequest, context: Any) -> pb.QueryUploadResponse:
        if await asyncio.to_thread(self._blobs.has, request.digest):
            size = await asyncio.to_thread(self._blobs.size, request.digest)
            return pb.QueryUploadResponse(committed_size_bytes=size, complete=True)
        size = await asyncio.to_thread(self._staging.committed_size, request.digest)
        return pb.QueryUploadResponse(committed_size_bytes=size)

    async def ReadBlob(self, request: pb.ReadBlobRequest, context: Any) -> AsyncIterator[pb.ReadBlobResponse]:
        if request.limit_bytes < 0:
            message = f"limit_bytes {request.limit_bytes} is negative: leave it out to read to the end"
            raise InvalidError(message, reason="BAD_LIMIT", field="limit_bytes")
        size = await asyncio.to_thread(self._blobs.size, request.digest)
        pieces = self._blobs.read(request.digest, request.offset, request.limit_bytes or None)
        first = pb.ReadBlobResponse(size_bytes=size)
        async for piece in read_ahead(pieces):
            yield pb.ReadBlobResponse(data=piece, size_bytes=first.size_bytes)
            first.size_bytes = 0
        if first.size_bytes or not size:
            yield first

    def _check(self, first: pb.UploadBlobRequest) -> None:
        checked_digest(first.digest)
        if first.size_bytes < 0:
            raise InvalidError(f"size_bytes {first.size_bytes} is negative", reason="BAD_SIZE", field="size_bytes")
        if first.size_bytes > self._largest:
            message = f"{first.digest} has {first.size_bytes} bytes: this server takes at most {self._largest}"
            raise ExhaustedError(message, reason="BLOB_TOO_LARGE", digest=first.digest)


async def _receive(upload: Upload, first: pb.UploadBlobRequest, rest: AsyncIterator[pb.UploadBlobRequest]) -> None:
    """Adds what comes to the upload; the pieces are hashed and written while the next ones are received."""
    size = first.offset
    async with Writing(upload.append) as writing:
        message: pb.UploadBlobRequest | None = first
        while message is not None:
            piece = message.data  # once: every look at it copies it
            size += len(piece)
            try:
                if message is not first:
                    _check_follows(message)
                _check_sizes(first, len(piece), size)
            except InvalidError:
                upload.discard()
                raise
            if piece:
                await writing.add(piece)
            message = await anext(rest, None)
        await writing.finish()


def _check_follows(message: pb.UploadBlobRequest) -> None:
    if message.digest or message.size_bytes or message.offset:
        text = "only the first message of an upload has a digest, a size and an offset"
        raise InvalidError(text, reason="OUT_OF_ORDER")


def _check_sizes(first: pb.UploadBlobRequest, piece_size: int, size: int) -> None:
    if piece_size > LARGEST_PIECE_BYTES:
        text = f"a message has {piece_size} bytes of data: send at most {LARGEST_PIECE_BYTES}"
        raise InvalidError(text, reason="PIECE_TOO_LARGE", field="data")
    if size > first.size_bytes:
        text = f"more than the {first.size_bytes} bytes of {first.digest} came: name its right size"
        raise InvalidError(text, reason="MORE_THAN_SIZE", digest=first.digest)
