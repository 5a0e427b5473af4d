"""BlobService through a real server."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from frostline.v1 import blob_service_pb2 as pb
from frostline.v1.blob_service_pb2_grpc import BlobServiceStub

PIECE = 1 << 20


@pytest.fixture
def stub(bare_server: Any) -> Any:
    return BlobServiceStub(bare_server.channel)


def fresh(size: int) -> tuple[bytes, str]:
    """Returns bytes that no other test has, and their digest."""
    content = os.urandom(size)
    return content, "sha256:" + hashlib.sha256(content).hexdigest()


def messages(content: bytes, digest: str, offset: int = 0, size: int | None = None) -> Iterator[pb.UploadBlobRequest]:
    """Yields an upload's messages, from `offset` on."""
    yield pb.UploadBlobRequest(digest=digest, size_bytes=len(content) if size is None else size, offset=offset)
    for start in range(offset, len(content), PIECE):
        yield pb.UploadBlobRequest(data=content[start : start + PIECE])


def read(stub: Any, digest: str, offset: int = 0, limit: int = 0) -> bytes:
    request = pb.ReadBlobRequest(digest=digest, offset=offset, limit_bytes=limit)
    return b"".join(message.data for message in stub.ReadBlob(request))


def refused(code: grpc.StatusCode, call: Any, *arguments: Any) -> str:
    """Returns what the call says when it is refused with `code`."""
    with pytest.raises(grpc.RpcError) as refusal:
        _take_all(call(*arguments))
    assert refusal.value.code() is code, refusal.value.details()
    return refusal.value.details() or ""


def _take_all(answer: Any) -> None:
    if isinstance(answer, Iterator):
        list(answer)


@pytest.mark.parametrize("size", [0, 1, PIECE, 3 * PIECE + 5])
def test_an_uploaded_blob_is_read_back(stub: Any, size: int) -> None:
    content, digest = fresh(size)
    assert stub.UploadBlob(messages(content, digest)).committed_size_bytes == size
    assert read(stub, digest) == content
    assert stub.QueryUpload(pb.QueryUploadRequest(digest=digest)).complete


def test_the_first_message_of_a_read_has_the_size_and_none_is_larger_than_a_mebibyte(stub: Any) -> None:
    content, digest = fresh(2 * PIECE + 1)
    stub.UploadBlob(messages(content, digest))
    answers = list(stub.ReadBlob(pb.ReadBlobRequest(digest=digest)))
    assert [answer.size_bytes for answer in answers] == [len(content), 0, 0]
    assert [len(answer.data) for answer in answers] == [PIECE, PIECE, 1]


def test_a_part_of_a_blob_is_read(stub: Any) -> None:
    content, digest = fresh(2 * PIECE)
    stub.UploadBlob(messages(content, digest))
    assert read(stub, digest, PIECE - 3, 7) == content[PIECE - 3 :][:7]
    assert read(stub, digest, len(content)) == b""


def test_missing_blobs_are_named_in_order(stub: Any) -> None:
    content, there = fresh(10)
    stub.UploadBlob(messages(content, there))
    absent = [fresh(32)[1] for _ in range(2)]
    request = pb.FindMissingBlobsRequest(digests=[absent[1], there, absent[0]])
    assert list(stub.FindMissingBlobs(request).missing_digests) == [absent[1], absent[0]]


def test_an_upload_of_what_is_there_is_answered_before_its_data(stub: Any) -> None:
    content, digest = fresh(PIECE)
    stub.UploadBlob(messages(content, digest))
    answered = threading.Event()

    def first_message_only() -> Iterator[pb.UploadBlobRequest]:
        yield pb.UploadBlobRequest(digest=digest, size_bytes=len(content))
        answered.wait(30)

    assert stub.UploadBlob(first_message_only()).committed_size_bytes == PIECE
    answered.set()


def test_a_broken_upload_goes_on_from_its_committed_size(stub: Any) -> None:
    content, digest = fresh(5 * PIECE)
    arrived = threading.Event()

    def broken() -> Iterator[pb.UploadBlobRequest]:
        for number, message in enumerate(messages(content, digest)):
            if number == 4:
                arrived.wait(10)
                return
            yield message

    call = stub.UploadBlob.future(broken())
    committed = 0
    while committed < 2 * PIECE:
        committed = stub.QueryUpload(pb.QueryUploadRequest(digest=digest)).committed_size_bytes
    call.cancel()
    arrived.set()
    committed = stub.QueryUpload(pb.QueryUploadRequest(digest=digest)).committed_size_bytes
    assert stub.UploadBlob(messages(content, digest, committed)).committed_size_bytes == len(content)
    assert read(stub, digest) == content


@pytest.mark.parametrize("named_at", [1, 3])
def test_the_digest_of_an_upload_may_come_later(stub: Any, named_at: int) -> None:
    content, digest = fresh(3 * PIECE)
    pieces = [*messages(content, "")]
    pieces[named_at].digest = digest
    assert stub.UploadBlob(iter(pieces)).committed_size_bytes == len(content)
    assert read(stub, digest) == content


def test_an_upload_goes_on_from_where_it_broke_once_its_digest_has_come(stub: Any) -> None:
    content, digest = fresh(3 * PIECE)
    pieces = [*messages(content, "")]
    pieces[2].digest = digest
    refused(grpc.StatusCode.INVALID_ARGUMENT, stub.UploadBlob, iter(pieces[:3]))
    committed = stub.QueryUpload(pb.QueryUploadRequest(digest=digest)).committed_size_bytes
    assert committed == 2 * PIECE
    assert stub.UploadBlob(messages(content, digest, committed)).committed_size_bytes == len(content)
    assert read(stub, digest) == content


def test_of_an_upload_without_a_digest_nothing_is_kept(stub: Any, bare_server: Any) -> None:
    content, digest = fresh(2 * PIECE)
    before = sorted((bare_server.data / "staging").iterdir())
    pieces = [*messages(content, "")]
    assert "digest" in refused(grpc.StatusCode.INVALID_ARGUMENT, stub.UploadBlob, iter(pieces))
    pieces[1].digest = fresh(1)[1]
    assert "are not" in refused(grpc.StatusCode.INVALID_ARGUMENT, stub.UploadBlob, iter(pieces))
    assert sorted((bare_server.data / "staging").iterdir()) == before
    assert stub.FindMissingBlobs(pb.FindMissingBlobsRequest(digests=[digest])).missing_digests


def test_an_upload_of_what_is_there_is_answered_as_soon_as_its_digest_comes(stub: Any, bare_server: Any) -> None:
    content, digest = fresh(3 * PIECE)
    stub.UploadBlob(messages(content, digest))
    answered = threading.Event()

    def two_messages() -> Iterator[pb.UploadBlobRequest]:
        yield pb.UploadBlobRequest(data=content[:PIECE], size_bytes=len(content))
        yield pb.UploadBlobRequest(digest=digest)
        answered.wait(30)

    assert stub.UploadBlob(two_messages()).committed_size_bytes == len(content)
    answered.set()
    assert not list((bare_server.data / "staging").glob("put-*"))


def test_two_clients_may_upload_one_blob_at_once(stub: Any) -> None:
    content, digest = fresh(8 * PIECE)
    calls = [stub.UploadBlob.future(messages(content, digest)) for _ in range(3)]
    answers = [call.exception() for call in calls]
    assert None in answers
    assert {answer.code() for answer in answers if answer} <= {grpc.StatusCode.OUT_OF_RANGE}
    assert read(stub, digest) == content


def test_an_upload_of_other_bytes_is_refused_and_leaves_nothing(stub: Any, bare_server: Any) -> None:
    _, digest = fresh(PIECE)
    assert digest in refused(grpc.StatusCode.INVALID_ARGUMENT, stub.UploadBlob, messages(bytes(PIECE), digest))
    assert stub.QueryUpload(pb.QueryUploadRequest(digest=digest)).committed_size_bytes == 0
    assert not (bare_server.data / "staging" / digest.replace("sha256:", "upload-")).exists()


def test_an_upload_of_another_size_is_refused(stub: Any) -> None:
    content, digest = fresh(1000)
    for size in (999, 1001):
        refused(grpc.StatusCode.INVALID_ARGUMENT, stub.UploadBlob, messages(content, digest, size=size))


def test_an_upload_that_does_not_go_on_where_it_stands_is_refused(stub: Any) -> None:
    content, digest = fresh(1000)
    text = refused(grpc.StatusCode.OUT_OF_RANGE, stub.UploadBlob, messages(content, digest, offset=7))
    assert "go on at 0" in text


def test_an_upload_out_of_order_is_refused(stub: Any) -> None:
    content, digest = fresh(1000)
    first = pb.UploadBlobRequest(digest=digest, size_bytes=1000)
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    refused(invalid, stub.UploadBlob, iter([]))
    refused(invalid, stub.UploadBlob, iter([pb.UploadBlobRequest(data=content)]))
    refused(invalid, stub.UploadBlob, iter([first, first]))
    refused(invalid, stub.UploadBlob, iter([first, pb.UploadBlobRequest(digest=digest)]))
    refused(invalid, stub.UploadBlob, iter([pb.UploadBlobRequest(size_bytes=1000, offset=10)]))
    refused(invalid, stub.UploadBlob, iter([first, pb.UploadBlobRequest(data=bytes(PIECE + 1))]))


def test_a_blob_that_is_too_large_is_refused_before_its_data(stub: Any) -> None:
    first = pb.UploadBlobRequest(digest=fresh(1)[1], size_bytes=1 << 50)
    assert "at most" in refused(grpc.StatusCode.RESOURCE_EXHAUSTED, stub.UploadBlob, iter([first]))


def test_what_is_not_there_or_not_a_digest_is_refused(stub: Any) -> None:
    _, digest = fresh(100)
    assert digest in refused(grpc.StatusCode.NOT_FOUND, stub.ReadBlob, pb.ReadBlobRequest(digest=digest))
    for call, request in (
        (stub.ReadBlob, pb.ReadBlobRequest(digest="sha256:../../secret")),
        (stub.QueryUpload, pb.QueryUploadRequest(digest="")),
        (stub.FindMissingBlobs, pb.FindMissingBlobsRequest(digests=["x"])),
        (stub.FindMissingBlobs, pb.FindMissingBlobsRequest(digests=[digest] * 10_001)),
    ):
        refused(grpc.StatusCode.INVALID_ARGUMENT, call, request)


def test_a_read_outside_the_blob_is_refused(stub: Any) -> None:
    content, digest = fresh(10)
    stub.UploadBlob(messages(content, digest))
    for offset in (-1, 11):
        refused(grpc.StatusCode.OUT_OF_RANGE, stub.ReadBlob, pb.ReadBlobRequest(digest=digest, offset=offset))
    refused(grpc.StatusCode.INVALID_ARGUMENT, stub.ReadBlob, pb.ReadBlobRequest(digest=digest, limit_bytes=-1))


def test_a_blob_that_changed_on_disk_is_data_loss_until_it_is_uploaded_again(stub: Any, bare_server: Any) -> None:
    content, digest = fresh(3 * PIECE)
    stub.UploadBlob(messages(content, digest))
    path = bare_server.data / "blobs" / "sha256" / digest[7:9] / digest[9:]
    path.write_bytes(b"\0" + content[1:])
    for _ in range(2):
        assert digest in refused(grpc.StatusCode.DATA_LOSS, stub.ReadBlob, pb.ReadBlobRequest(digest=digest))
    stub.UploadBlob(messages(content, digest))
    assert read(stub, digest) == content
