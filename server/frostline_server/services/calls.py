"""Calls, counted: how many of each method ended with which status, and how long they took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)

Context = grpc.aio.ServicerContext[Any, Any]


class CallCounter(grpc.aio.ServerInterceptor):
    """Stands around every call of every service, outside of all other interceptors."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter("frostline_calls", "Calls, by how they ended.", ["method", "code"], registry=registry)
        self._seconds = Histogram(
            "frostline_call_seconds", "How long calls took.", ["method"], registry=registry, buckets=_SECONDS
        )

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Returns the call's handler, counted."""
        handler = await continuation(handler_call_details)
        if handler is None:  # no such call; names that anybody may think of are no labels
            return None
        kind = ("stream" if handler.request_streaming else "unary") + (
            "_stream" if handler.response_streaming else "_unary"
        )
        inner, method = getattr(handler, kind), handler_call_details.method

        async def answer(request: Any, context: Context) -> Any:
            with self._counted(method, context):
                return await inner(request, context)

        async def answer_in_pieces(request: Any, context: Context) -> AsyncIterator[Any]:
            with self._counted(method, context):
                async for response in inner(request, context):
                    yield response

        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(
            answer_in_pieces if handler.response_streaming else answer,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    @contextmanager
    def _counted(self, method: str, context: Context) -> Iterator[None]:
        started, code = time.perf_counter(), grpc.StatusCode.OK
        try:
            yield
        except grpc.aio.AbortError:
            code = context.code()
            raise
        except (asyncio.CancelledError, GeneratorExit):
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            self._calls.labels(method, code.name).inc()
            self._seconds.labels(method).observe(time.perf_counter() - started)
