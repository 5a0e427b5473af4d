"""The edge of every call: each refusal has its status, and nothing of the inside comes out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, ResourceInfo
from grpc_status import rpc_status

from frostline.v1 import blob_service_pb2 as pb
from frostline.v1.blob_service_pb2_grpc import BlobServiceServicer, BlobServiceStub, add_BlobServiceServicer_to_server
from frostline_server.services.errors import LONGEST_MESSAGE, STATUS_OF, ErrorInterceptor
from frostline_zoo.errors import InvalidError, NotFoundError, ZooError

SECRET = "/var/lib/secret SELECT * FROM models"


def every_subclass(kind: type[ZooError]) -> set[type[ZooError]]:
    return set(kind.__subclasses__()).union(*(every_subclass(child) for child in kind.__subclasses__()))


class Failing(BlobServiceServicer):
    """Every call of it raises `error`, one of each kind of call."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def FindMissingBlobs(self, request: Any, context: Any) -> Any:
        raise self.error

    async def UploadBlob(self, requests: AsyncIterator[Any], context: Any) -> Any:
        async for _ in requests:
            raise self.error

    async def ReadBlob(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield pb.ReadBlobResponse(data=b"first")
        raise self.error


def answer_of(error: Exception, call: Callable[[grpc.Channel], Any]) -> grpc.RpcError:
    """Returns what a client gets where the service raises `error`."""

    async def exchange() -> grpc.RpcError:
        server = grpc.aio.server(interceptors=[ErrorInterceptor()])
        add_BlobServiceServicer_to_server(Failing(error), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            return await asyncio.to_thread(refused, port)
        finally:
            await server.stop(None)

    def refused(port: int) -> grpc.RpcError:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as refusal:
            call(channel)
        return refusal.value

    coroutine: Coroutine[Any, Any, grpc.RpcError] = exchange()
    return asyncio.run(coroutine)


CALLS: dict[str, Callable[[grpc.Channel], Any]] = {
    "one for one": lambda channel: BlobServiceStub(channel).FindMissingBlobs(pb.FindMissingBlobsRequest()),
    "many for one": lambda channel: BlobServiceStub(channel).UploadBlob(iter([pb.UploadBlobRequest()])),
    "one for many": lambda channel: list(BlobServiceStub(channel).ReadBlob(pb.ReadBlobRequest())),
}


def details_of(refusal: grpc.RpcError, kind: type[Any]) -> Any:
    """Returns the detail of a kind in a refusal's google.rpc.Status, or None."""
    message = kind()
    return next((message for detail in rpc_status.from_call(refusal).details if detail.Unpack(message)), None)


def test_every_zoo_error_has_a_status() -> None:
    assert set(STATUS_OF) == every_subclass(ZooError)


@pytest.mark.parametrize("error", STATUS_OF)
def test_a_refusal_comes_with_its_status_and_reason(error: type[ZooError]) -> None:
    refusal = answer_of(error("mend it", reason="BROKEN", name="models/m"), CALLS["one for one"])
    assert (refusal.code(), refusal.details()) == (STATUS_OF[error], "mend it")
    info = details_of(refusal, ErrorInfo)
    assert (info.domain, info.reason, info.metadata["name"]) == ("frostline", "BROKEN", "models/m")


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_kind_of_call_is_refused_alike(call: Callable[[grpc.Channel], Any]) -> None:
    refusal = answer_of(NotFoundError("no models/m/versions/9", name="models/m/versions/9"), call)
    assert refusal.code() is grpc.StatusCode.NOT_FOUND
    resource = details_of(refusal, ResourceInfo)
    assert (resource.resource_type, resource.resource_name) == ("versions", "models/m/versions/9")


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("error", [ValueError(SECRET), KeyError(SECRET), OSError(5, SECRET)])
def test_a_crash_gives_an_id_and_nothing_else(call: Callable[[grpc.Channel], Any], error: Exception) -> None:
    refusal = answer_of(error, call)
    assert refusal.code() is grpc.StatusCode.INTERNAL
    number = details_of(refusal, ErrorInfo).metadata["error_id"]
    assert refusal.details() == f"the server failed: its log has the cause under {number}"
    assert "secret" not in str(refusal) + repr(refusal.trailing_metadata())


def test_a_full_disk_is_an_exhausted_resource() -> None:
    refusal = answer_of(OSError(28, SECRET), CALLS["one for one"])
    assert refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details_of(refusal, ErrorInfo).reason == "STORAGE_FULL"
    assert "secret" not in str(refusal)


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"field": "digests"}, "digests"),
        ({"key": "stages[0].epochs"}, "recipe.stages[0].epochs"),
        ({"key": ""}, "recipe"),
    ],
)
def test_a_field_that_is_wrong_is_named(metadata: dict[str, str], field: str) -> None:
    refusal = answer_of(InvalidError("too many", **metadata), CALLS["one for one"])
    assert [violation.field for violation in details_of(refusal, BadRequest).field_violations] == [field]


def test_a_long_message_is_cut_so_that_it_arrives() -> None:
    refusal = answer_of(InvalidError("x" * 100_000), CALLS["one for one"])
    assert refusal.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (refusal.details() or "")[-5:] == "xx..."
    assert len(refusal.details() or "") == LONGEST_MESSAGE


@pytest.mark.parametrize("kind", ["unary_unary", "stream_unary", "unary_stream"])
def test_bytes_that_are_no_message_are_refused_without_naming_its_type(kind: str) -> None:
    method = {"unary_unary": "FindMissingBlobs", "stream_unary": "UploadBlob", "unary_stream": "ReadBlob"}[kind]

    def call(channel: grpc.Channel) -> None:
        send = getattr(channel, kind)(f"/frostline.v1.BlobService/{method}")
        answer = send(iter([b"\xff\xff"]) if kind.startswith("stream") else b"\xff\xff")
        list(answer) if kind.endswith("stream") else None

    refusal = answer_of(RuntimeError("not reached"), call)
    assert refusal.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "Blob" not in (refusal.details() or "")
