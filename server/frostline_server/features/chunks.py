"""Chunks: places among some examples, so many of them at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]

_IN_FLIGHT = 4


def chunks_of(places: Array, size: int) -> Iterator[Array]:
    """Yields `size` places after the other, and then those that are left over."""
    for start in range(0, len(places), size):
        yield places[start : start + size]


def in_flight(chunks: Sequence[Array], work: Callable[[Array], list[Array]]) -> Iterator[tuple[Array, list[Array]]]:
    """Yields chunks of places and what `work` makes of them, a few at a time.

    While the trunk computes one chunk, the examples of others are read and decoded, or their rows written.
    """
    with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="fill") as threads:
        running: list[Future[list[Array]]] = []
        try:
            running = [threads.submit(work, chunk) for chunk in chunks[:_IN_FLIGHT]]
            for number, chunk in enumerate(chunks):
                yield chunk, running.pop(0).result()
                if number + _IN_FLIGHT < len(chunks):
                    running.append(threads.submit(work, chunks[number + _IN_FLIGHT]))
        finally:
            for future in running:
                future.cancel()
