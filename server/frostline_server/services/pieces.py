"""Streams of pieces between the event loop and the disk: the one receives or sends while the other writes or reads.

One piece at a time is under way on each side, so the slower side sets the speed, and memory stays bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Self


class Writing:
    """Gives pieces to `write`, which blocks, in a thread: `add` waits for the piece before, `finish` for the last."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._under_way: asyncio.Future[None] | None = None

    async def add(self, piece: bytes) -> None:
        """Takes the next piece. Raises what writing the one before has raised."""
        await self.finish()
        self._under_way = asyncio.get_running_loop().run_in_executor(None, self._write, piece)

    async def finish(self) -> None:
        """Waits until everything is written. Raises what writing has raised."""
        if self._under_way is not None:
            under_way, self._under_way = self._under_way, None
            await asyncio.shield(under_way)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        # Nobody may close the file under the thread that still writes to it.
        if self._under_way is not None:
            await asyncio.wait([self._under_way])


async def read_ahead(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yields from `pieces`, which blocks, in a thread, and already reads the next piece while one is sent."""
    loop = asyncio.get_running_loop()
    coming = loop.run_in_executor(None, next, pieces, None)
    try:
        while (piece := await asyncio.shield(coming)) is not None:
            coming = loop.run_in_executor(None, next, pieces, None)
            yield piece
    finally:
        await asyncio.wait([coming])
