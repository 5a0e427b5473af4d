"""Streams of pieces between the event loop and the disk: the one receives or sends while the other writes or reads.

Pieces change hands a few at a time, since to wake a thread costs about as much as to write a piece. No thread is held
while a slow client is waited for, and a stream holds some megabytes at the most.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from itertools import islice
from typing import Self, TypeVar

from frostline_zoo.errors import InvalidError

AT_ONCE = 4

Piece = TypeVar("Piece")

LARGEST_PIECE_BYTES = 1 << 20
"""The most data in one message of a stream. What cannot be cut, such as one example, may be as large as gRPC allows."""


def check_piece(piece: bytes | memoryview, is_one: bool = False) -> None:
    """Checks that the data of a message is not too large, unless it `is_one` thing that cannot be cut.

    Raises:
        InvalidError: it is.
    """
    if len(piece) > LARGEST_PIECE_BYTES and not is_one:
        text = f"a message has {len(piece)} bytes of data: send at most {LARGEST_PIECE_BYTES}"
        raise InvalidError(text, reason="PIECE_TOO_LARGE", field="data")


class Writing:
    """Gives pieces to `write`, which blocks, in a thread; `add` waits where writing lags, `finish` for the last."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._waiting: list[bytes] = []
        self._under_way: asyncio.Future[None] | None = None

    async def add(self, piece: bytes) -> None:
        """Takes the next piece. Raises what writing an earlier one has raised."""
        self._waiting.append(piece)
        if self._under_way is None or self._under_way.done() or len(self._waiting) >= AT_ONCE:
            await self._settle()
            pieces, self._waiting = self._waiting, []
            self._under_way = asyncio.get_running_loop().run_in_executor(None, self._write_all, pieces)

    async def finish(self) -> None:
        """Waits until everything is written. Raises what writing has raised."""
        await self._settle()
        pieces, self._waiting = self._waiting, []
        if pieces:
            self._under_way = asyncio.get_running_loop().run_in_executor(None, self._write_all, pieces)
            await self._settle()

    async def _settle(self) -> None:
        if self._under_way is not None:
            await asyncio.shield(self._under_way)

    def _write_all(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self._write(piece)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        # Nobody may close the file under the thread that still writes to it.
        if self._under_way is not None:
            await asyncio.wait([self._under_way])


async def read_ahead(pieces: Iterator[Piece]) -> AsyncGenerator[Piece, None]:
    """Yields from `pieces`, which blocks, in a thread, and reads the next ones while one is sent.

    Closing it waits for that thread.
    """
    loop = asyncio.get_running_loop()
    coming = loop.run_in_executor(None, _next, pieces, 1)
    try:
        while here := await asyncio.shield(coming):
            coming = loop.run_in_executor(None, _next, pieces, AT_ONCE)
            for piece in here:
                yield piece
    finally:
        await asyncio.wait([coming])


def _next(pieces: Iterator[Piece], count: int) -> list[Piece]:
    return list(islice(pieces, count))
