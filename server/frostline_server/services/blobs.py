"""BlobService: what is missing, uploads that go on where they stopped, and verified reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from frostline.v1 import blob_service_pb2 as pb
from frostline.v1.blob_service_pb2_grpc import BlobServiceServicer
from frostline.wire import WithData
from frostline_server.services.pieces import Writing, check_piece, read_ahead
from frostline_zoo.blobs.staging import Staging, Upload
from frostline_zoo.blobs.store import BlobStore
from frostline_zoo.digests import checked_digest
from frostline_zoo.errors import ExhaustedError, InvalidError, OutOfRangeError

MOST_DIGESTS = 10_000


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
            raise InvalidError("the upload is empty: send its size first", reason="NO_FIRST_MESSAGE")
        self._check(first)
        digest = first.digest
        upload = await asyncio.to_thread(self._open, first)
        if upload is not None:
            try:
                digest = await self._receive(upload, first, requests)
                if upload.digest:
                    await asyncio.to_thread(upload.store, self._blobs, first.size_bytes)
            except OutOfRangeError:  # another client has gone on with it, perhaps to its end
                digest = upload.digest
                if not await asyncio.to_thread(self._blobs.has, digest):
                    raise
            finally:
                await asyncio.to_thread(self._staging.close, upload)
        size = await asyncio.to_thread(self._blobs.size, digest)
        return pb.UploadBlobResponse(committed_size_bytes=size)

    async def QueryUpload(self, request: pb.QueryUploadRequest, context: Any) -> pb.QueryUploadResponse:
        if await asyncio.to_thread(self._blobs.has, request.digest):
            size = await asyncio.to_thread(self._blobs.size, request.digest)
            return pb.QueryUploadResponse(committed_size_bytes=size, complete=True)
        size = await asyncio.to_thread(self._staging.committed_size, request.digest)
        return pb.QueryUploadResponse(committed_size_bytes=size)

    async def ReadBlob(
        self, request: pb.ReadBlobRequest, context: Any
    ) -> AsyncIterator[pb.ReadBlobResponse | WithData]:
        if request.limit_bytes < 0:
            message = f"limit_bytes {request.limit_bytes} is negative: leave it out to read to the end"
            raise InvalidError(message, reason="BAD_LIMIT", field="limit_bytes")
        size = await asyncio.to_thread(self._blobs.size, request.digest)
        pieces = self._blobs.read(request.digest, request.offset, request.limit_bytes or None)
        first = pb.ReadBlobResponse(size_bytes=size)
        async for piece in read_ahead(pieces):
            yield WithData(pb.ReadBlobResponse(size_bytes=first.size_bytes), piece)
            first.size_bytes = 0
        if first.size_bytes or not size:
            yield first

    def _check(self, first: pb.UploadBlobRequest) -> None:
        if first.digest:
            checked_digest(first.digest)
        elif first.offset:
            message = f"offset {first.offset} goes on with an upload: say with which, by its digest"
            raise InvalidError(message, reason="NO_DIGEST", field="digest")
        if first.size_bytes < 0:
            raise InvalidError(f"size_bytes {first.size_bytes} is negative", reason="BAD_SIZE", field="size_bytes")
        if first.size_bytes > self._largest:
            message = f"a blob of {first.size_bytes} bytes is too large: this server takes at most {self._largest}"
            raise ExhaustedError(message, reason="BLOB_TOO_LARGE", digest=first.digest)

    def _open(self, first: pb.UploadBlobRequest) -> Upload | None:
        """Returns what an upload goes into; None where the store has the blob."""
        if not first.digest:
            return self._staging.begin()
        return None if self._blobs.has(first.digest) else self._staging.open(first.digest, first.offset)

    async def _receive(
        self, upload: Upload, first: pb.UploadBlobRequest, rest: AsyncIterator[pb.UploadBlobRequest]
    ) -> str:
        """Adds what comes to the upload, and returns the digest; the pieces are hashed and written while the next ones
        are received. Where the store has the blob, the rest is not awaited, and the upload is left without a digest.
        """
        size = first.offset
        async with Writing(upload.append) as writing:
            message: pb.UploadBlobRequest | None = first
            while message is not None:
                piece = message.data
                size += len(piece)
                try:
                    if message is not first:
                        _check_follows(upload, message)
                    check_piece(piece)
                    _check_size(first, size)
                except InvalidError:
                    upload.discard()
                    raise
                if message.digest and not upload.digest:
                    if await asyncio.to_thread(self._blobs.has, message.digest):
                        return message.digest
                    await asyncio.to_thread(self._staging.name, upload, message.digest)
                if piece:
                    await writing.add(piece)
                message = await anext(rest, None)
            if not upload.digest:
                text = "the upload ended without its digest: send that with the last message at the latest"
                raise InvalidError(text, reason="NO_DIGEST", field="digest")
            await writing.finish()
        return upload.digest


def _check_follows(upload: Upload, message: pb.UploadBlobRequest) -> None:
    if message.size_bytes or message.offset or (message.digest and upload.digest):
        text = "only the first message of an upload has a size and an offset, and only one has a digest"
        raise InvalidError(text, reason="OUT_OF_ORDER")


def _check_size(first: pb.UploadBlobRequest, size: int) -> None:
    if size > first.size_bytes:
        text = f"more than the {first.size_bytes} bytes of the upload came: name its right size"
        raise InvalidError(text, reason="MORE_THAN_SIZE", digest=first.digest)
