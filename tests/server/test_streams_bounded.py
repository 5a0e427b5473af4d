"""However fast a client sends, the server holds only some megabytes of a stream that it does not come to read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest

from frostline_server.app import OPTIONS

PIECE = bytes(1 << 20)
MOST_AHEAD = 9  # the window, and what is under way at either end


@pytest.mark.parametrize("read", [1, 200])
def test_a_stream_that_nobody_reads_is_taken_a_few_megabytes_of(read: int) -> None:
    async def run() -> int:
        sent, stopped = 0, asyncio.Event()

        async def take(requests: AsyncIterator[bytes], _: Any) -> bytes:
            for _ in range(read):
                await anext(requests)
            await stopped.wait()
            return b""

        def pieces() -> Iterator[bytes]:
            nonlocal sent
            for sent in range(1, read + 100):  # noqa: B007
                yield PIECE

        def send(port: int) -> None:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                channel.stream_unary("/test/Take")(pieces(), timeout=60)

        server = grpc.aio.server(options=OPTIONS)
        methods = {"Take": grpc.stream_unary_rpc_method_handler(take)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", methods),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        sending = asyncio.ensure_future(asyncio.to_thread(send, port))
        before = -1
        while sent <= read or sent != before:  # until nothing more goes
            before = sent
            await asyncio.sleep(0.5)
        stopped.set()
        await sending
        await server.stop(0)
        return before - read

    assert asyncio.run(asyncio.wait_for(run(), 60)) <= MOST_AHEAD
