"""The edge of every call: what goes wrong inside becomes a status that says what to do and gives nothing away.

Services raise the zoo's errors and know no statuses. Whatever else is raised, also by gRPC's own reading of a message,
would reach the client with its text; here it becomes INTERNAL with an id under which the log has the rest.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NoReturn

import grpc
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, ResourceInfo
from google.rpc.status_pb2 import Status

from frostline.wire import deserializer_of, serializer_of
from frostline_zoo.blobs.staged import refusing_when_full
from frostline_zoo.errors import (
    AbortedError,
    AlreadyExistsError,
    CorruptError,
    ExhaustedError,
    FailedPreconditionError,
    InvalidError,
    NotFoundError,
    OutOfRangeError,
    UnavailableError,
    ZooError,
)

STATUS_OF: dict[type[ZooError], grpc.StatusCode] = {
    InvalidError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    FailedPreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    OutOfRangeError: grpc.StatusCode.OUT_OF_RANGE,
    AbortedError: grpc.StatusCode.ABORTED,
    ExhaustedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    CorruptError: grpc.StatusCode.DATA_LOSS,
}

_CODES = {code.value[0]: code for code in grpc.StatusCode}

DOMAIN = "frostline"
LONGEST_MESSAGE = 1000  # in bytes: metadata is refused by clients above 8 KiB, and the message goes twice

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[Any, Any]


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Stands around every call of every service."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Returns the call's handler, wrapped: it reads its messages itself, and turns errors into statuses."""
        handler = await continuation(handler_call_details)
        if handler is None:  # no such call: gRPC says UNIMPLEMENTED
            return None
        method = handler_call_details.method
        kind = ("stream" if handler.request_streaming else "unary") + (
            "_stream" if handler.response_streaming else "_unary"
        )
        wrap = _answering_in_pieces if handler.response_streaming else _answering
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        read = _read_each if handler.request_streaming else _read
        deserialize = deserializer_of(handler.request_deserializer)
        call = wrap(getattr(handler, kind), lambda raw: read(deserialize, raw), method)
        return make(call, request_deserializer=None, response_serializer=serializer_of(handler.response_serializer))


def status_of(error: ZooError) -> Status:
    """Returns the google.rpc.Status that a client gets for `error`."""
    status = _status(STATUS_OF[type(error)], error.message, error.reason, error.metadata)
    resource = error.metadata.get("name") or error.metadata.get("digest")
    if isinstance(error, NotFoundError | CorruptError) and resource:
        kind = resource.split("/")[-2] if "/" in resource else "blobs"
        _add(status, ResourceInfo(resource_type=kind, resource_name=resource, description=status.message))
    field = _field_of(error)
    if isinstance(error, InvalidError) and field:
        violation = BadRequest.FieldViolation(field=field, description=status.message)
        _add(status, BadRequest(field_violations=[violation]))
    return status


def _field_of(error: ZooError) -> str:
    """Returns the field of the request that an error is about, as in `recipe.stages[0].epochs`; empty: none of them."""
    if "key" in error.metadata:  # of a recipe
        return ".".join(filter(None, ["recipe", error.metadata["key"]]))
    return error.metadata.get("field", "")


def _status(code: grpc.StatusCode, message: str, reason: str, metadata: Mapping[str, str]) -> Status:
    status = Status(code=code.value[0], message=_cut(message))
    cut = {_cut(key): _cut(value) for key, value in metadata.items()}
    _add(status, ErrorInfo(reason=reason, domain=DOMAIN, metadata=cut))
    return status


def _cut(text: str) -> str:
    """Returns a text, or its start and "...", as much as metadata holds, without what UTF-8 cannot say."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= LONGEST_MESSAGE:
        return encoded.decode()
    return encoded[: LONGEST_MESSAGE - 3].decode("utf-8", "ignore") + "..."


def _add(status: Status, detail: Message) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)


def _answering(inner: Callable[..., Awaitable[Any]], read: Callable[[Any], Any], method: str) -> Any:
    async def answer(raw: Any, context: Context) -> Any:
        try:
            return await inner(read(raw), context)
        except Exception as error:
            await _abort(context, method, error)

    return answer


def _answering_in_pieces(inner: Callable[..., AsyncIterator[Any]], read: Callable[[Any], Any], method: str) -> Any:
    async def answer(raw: Any, context: Context) -> AsyncIterator[Any]:
        try:
            async for response in inner(read(raw), context):
                yield response
        except Exception as error:
            await _abort(context, method, error)

    return answer


def _read(deserialize: Callable[[bytes], Any], raw: bytes) -> Any:
    try:
        return deserialize(raw)
    except DecodeError as error:
        message = "the request is not a message of this call: use the .proto files of this release"
        raise InvalidError(message, reason="MALFORMED_MESSAGE") from error


async def _read_each(deserialize: Callable[[bytes], Any], raws: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for raw in raws:
        yield _read(deserialize, raw)


async def _abort(context: Context, method: str, error: Exception) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):  # health and reflection say themselves what is wrong
        raise error
    status = _status_of_any(error, method)
    details = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(_CODES[status.code], status.message, details)


def _status_of_any(error: Exception, method: str) -> Status:
    try:
        with refusing_when_full():
            raise error
    except ZooError as refusal:
        return status_of(refusal)
    except Exception:
        number = secrets.token_hex(6)
        log.exception("a call failed", method=method, error_id=number)
        message = f"the server failed: its log has the cause under {number}"
        return _status(grpc.StatusCode.INTERNAL, message, "FAILED", {"error_id": number})
