"""The connection to a server: its address, what is retried, and errors as Python raises them.

Calls that read, and creates that carry a request id, are retried while the server is unavailable; no other call is,
since a repeated one might act twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from frostline.wire import deserializer_of, serializer_of
from frostline_client.errors import InvalidError, error_of

DEFAULT_ADDRESS = "127.0.0.1:8470"
UNARY_TIMEOUT_SECONDS = 300.0

_RETRIED = {
    "ModelService": ("GetModel", "ListModels", "GetVersion", "ListVersions", "ListTags"),
    "BlobService": ("FindMissingBlobs", "QueryUpload"),
    "DatasetService": ("FindMissingExamples", "CreateDatasetVersion", "GetDatasetVersion", "ListDatasets"),
    "JobService": ("CreateJob", "PlanJob", "GetJob", "ListJobs"),
    "FeatureService": ("ListTrunks",),
}
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [
                {"service": f"frostline.v1.{service}", "method": method}
                for service, methods in _RETRIED.items()
                for method in methods
            ],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 15_000),
    # gRPC waits up to two minutes before it tries a dead address again; a restarted server is back in seconds.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # how long one attempt may take
    ("grpc.primary_user_agent", "frostline-client"),
]


def server_address(address: str | None = None) -> str:
    """Returns `address`, else $FROSTLINE_SERVER, else 127.0.0.1:8470.

    Raises:
        InvalidError: it is not of the form HOST:PORT.
    """
    address = address or os.environ.get("FROSTLINE_SERVER") or DEFAULT_ADDRESS
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InvalidError(f"{address!r} is not a server's address: write HOST:PORT, as in {DEFAULT_ADDRESS}")
    return address


class Channel:
    """A connection for the generated stubs, whose calls raise FrostlineErrors instead of gRPC's.

    It connects with the first call, not before.
    """

    def __init__(self, address: str | None = None) -> None:
        self.address = server_address(address)
        self._channel = grpc.insecure_channel(self.address, _OPTIONS)

    def close(self) -> None:
        """Ends the connection, and with it every call that is under way."""
        self._channel.close()

    def unary_unary(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """Makes the call of a stub: a message out, a message back."""
        return self._answering(self._channel.unary_unary(*args, **kwargs), UNARY_TIMEOUT_SECONDS)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """Makes the call of a stub: messages out, a message back."""
        return self._answering(self._channel.stream_unary(*args, **_with_data(kwargs)), None)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """Makes the call of a stub: a message out, messages back."""
        return self._streaming(self._channel.unary_stream(*args, **_with_data(kwargs)))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """Makes the call of a stub: messages out, messages back."""
        return self._streaming(self._channel.stream_stream(*args, **_with_data(kwargs)))

    def _answering(self, call: Callable[..., Any], default_timeout_seconds: float | None) -> Callable[..., Any]:
        def answer(request: Any, timeout: float | None = default_timeout_seconds) -> Any:
            outgoing = _Outgoing.of(request)
            try:
                return call(outgoing, timeout=timeout)
            except grpc.RpcError as failure:
                raise _raised(failure, outgoing, self.address) from None

        return answer

    def _streaming(self, call: Callable[..., Any]) -> Callable[..., Stream]:
        def stream(request: Any, timeout: float | None = None) -> Stream:
            outgoing = _Outgoing.of(request)
            return Stream(call(outgoing, timeout=timeout), outgoing, self.address)

        return stream


def _with_data(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Returns a stub's arguments, for a call whose messages have their data apart."""
    return kwargs | {
        "request_serializer": serializer_of(kwargs["request_serializer"]),
        "response_deserializer": deserializer_of(kwargs["response_deserializer"]),
    }


class Stream:
    """The messages of a call, in order. Leaving the `with` block ends the call."""

    def __init__(self, call: Any, outgoing: Any, address: str) -> None:
        self._call = call
        self._outgoing = outgoing
        self._address = address

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except grpc.RpcError as failure:
            raise _raised(failure, self._outgoing, self._address) from None

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._call.cancel()


class _Outgoing:
    """Outgoing messages that remember why they broke off: gRPC draws them in its own thread and drops the exception."""

    def __init__(self, messages: Iterator[Any]) -> None:
        self._messages = messages
        self.failure: Exception | None = None

    @classmethod
    def of(cls, request: Any) -> Any:
        """Returns `request`, wrapped where it is an iterator of messages."""
        return cls(request) if isinstance(request, Iterator) else request

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._messages)
        except StopIteration:
            raise
        except Exception as failure:
            self.failure = failure
            raise


def _raised(failure: grpc.RpcError, outgoing: Any, address: str) -> Exception:
    """Returns what a failed call is raised as: what its outgoing messages failed with, or else what its status says."""
    if isinstance(outgoing, _Outgoing) and outgoing.failure is not None:
        return outgoing.failure
    return error_of(failure, address)
