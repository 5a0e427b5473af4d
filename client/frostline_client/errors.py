"""Everything the zoo refuses, as Python raises it.

FrostlineError
├── InvalidError             the request is malformed, or does not fit what it names
├── NotFoundError            the zoo holds no such thing
├── AlreadyExistsError       the name, or the request id, is taken by different content
├── FailedPreconditionError  the thing is not in a state that allows this
├── OutOfRangeError          an offset is not where the thing ends
├── AbortedError             somebody else was faster: read again and retry
├── ExhaustedError           a limit or the disk is reached
├── CorruptError             bytes are not those that were stored
├── UnavailableError         not now: retry later
│   └── NoServerError        no server answers at the address
├── DeadlineError            the server did not answer in time
├── StoppedError             the call was cancelled
├── DeniedError              the server does not let this caller do it
├── UnsupportedError         the server does not know this call: it is of another release
├── ServerError              the server failed; its log says why
└── JobFailedError           a job ended without a model
"""

from __future__ import annotations

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from frostline_client.wording import worded


class FrostlineError(Exception):
    """What was refused or failed, in one line.

    Attributes:
        message: one line that names the thing and the mend.
        reason: for programs, in UPPER_SNAKE_CASE; empty where the server gave none.
        metadata: what the message names, by key.
    """

    def __init__(self, message: str, *, reason: str = "", metadata: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata = metadata or {}


class InvalidError(FrostlineError):
    """The request is malformed, or does not fit what it names."""


class NotFoundError(FrostlineError):
    """The zoo holds no such thing."""


class AlreadyExistsError(FrostlineError):
    """The name, or the request id, is taken by different content."""


class FailedPreconditionError(FrostlineError):
    """The thing is not in a state that allows this."""


class OutOfRangeError(FrostlineError):
    """An offset is not where the thing ends."""


class AbortedError(FrostlineError):
    """Somebody else was faster: read again and retry."""


class ExhaustedError(FrostlineError):
    """A limit or the disk is reached."""


class CorruptError(FrostlineError):
    """Bytes are not those that were stored."""


class UnavailableError(FrostlineError):
    """Not now: retry later."""


class NoServerError(UnavailableError):
    """No server answers at the address."""


class DeadlineError(FrostlineError):
    """The server did not answer in time."""


class StoppedError(FrostlineError):
    """The call was cancelled."""


class DeniedError(FrostlineError):
    """The server does not let this caller do it."""


class UnsupportedError(FrostlineError):
    """The server does not know this call: it is of another release."""


class ServerError(FrostlineError):
    """The server failed; its log says why."""


class JobFailedError(FrostlineError):
    """A job ended without a model. `metadata` holds `job` and `state`."""


ERROR_OF: dict[grpc.StatusCode, type[FrostlineError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRangeError,
    grpc.StatusCode.ABORTED: AbortedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ExhaustedError,
    grpc.StatusCode.DATA_LOSS: CorruptError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.CANCELLED: StoppedError,
    grpc.StatusCode.PERMISSION_DENIED: DeniedError,
    grpc.StatusCode.UNAUTHENTICATED: DeniedError,
    grpc.StatusCode.UNIMPLEMENTED: UnsupportedError,
    grpc.StatusCode.INTERNAL: ServerError,
    grpc.StatusCode.UNKNOWN: ServerError,
}
"""What each status is raised as."""

_UNREACHABLE = ("failed to connect", "connection refused", "dns", "name resolution", "no route", "unreachable")


def error_of(failure: grpc.RpcError, address: str) -> FrostlineError:
    """Returns what `failure`, of a call to the server at `address`, is raised as."""
    code, details = failure.code(), worded(failure.details() or "")  # type: ignore[attr-defined]
    info = _error_info(failure)
    if info is not None:
        return ERROR_OF[code](details, reason=info.reason, metadata=dict(info.metadata))
    if code is grpc.StatusCode.UNAVAILABLE:
        if any(sign in details.lower() for sign in _UNREACHABLE):
            mend = "start one with frostline-server, or name it with --server or $FROSTLINE_SERVER"
            return NoServerError(f"no server answers at {address}: {mend}", reason="NO_SERVER")
        return UnavailableError(f"the connection to {address} broke: try again", reason="CONNECTION_BROKE")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineError(f"the server at {address} did not answer in time: try again")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return UnsupportedError(f"the server at {address} does not know this call: it is of another release")
    return ERROR_OF[code](" ".join(details.split()) or f"the server at {address} failed: see its log")


def _error_info(failure: grpc.RpcError) -> ErrorInfo | None:
    """Returns the ErrorInfo among the status's details."""
    try:
        status = rpc_status.from_call(failure)
    except ValueError:  # the trailing status contradicts the call's own
        return None
    for detail in status.details if status is not None else ():
        info = ErrorInfo()
        if detail.Unpack(info):
            return info
    return None
