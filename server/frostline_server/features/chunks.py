"""Chunks: places among some examples, so many of them at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]

_IN_FLIGHT = 4
_CHUNK_BYTES = 16 << 20  # few enough that a chunk is read and decoded while others are computed
_CHUNK_BATCHES = 4
_CHUNKS = 8
_ROWS_WITHOUT_TRUNK = 256


@dataclass(frozen=True)
class ChunkSize:
    """How many rows of a cut are worked on at once.

    Attributes:
        rows: so many at the most.
        least: what a chunk is a multiple of, so that no batch is filled in part.
        largest_batch: of the trunks of this cut and of those below.
    """

    rows: int
    least: int
    largest_batch: int

    def cut(self, places: Array) -> list[Array]:
        """Returns places in chunks. Few are cut up too, so that others are in flight."""
        batches = max(1, round(len(places) / _CHUNKS / self.least))
        return list(chunks_of(places, min(self.rows, batches * self.least)))


def chunk_size(batch_size: int | None, row_bytes: int, below: ChunkSize | None) -> ChunkSize:
    """Returns how many rows of a cut are worked on at once: whole batches, within a bound of bytes.

    Args:
        batch_size: the trunk's; None: there is no trunk.
        row_bytes: the size of a row, or of what enters the trunk for it, whichever is larger.
        below: that of the cut below, whose larger batches are kept whole too where that is not too much.
    """
    own = batch_size or _ROWS_WITHOUT_TRUNK
    largest = max(batch_size or 1, below.largest_batch if below else 1)
    whole = max(own, largest)
    least = whole if whole * row_bytes <= _CHUNK_BYTES else own
    rows = min(_CHUNK_BATCHES * own, _CHUNK_BYTES // max(1, row_bytes), below.rows if below else _CHUNK_BYTES)
    return ChunkSize(least * max(1, rows // least), least, largest)


def chunks_of(places: Array, size: int) -> Iterator[Array]:
    """Yields `size` places after the other, and then those that are left over."""
    for start in range(0, len(places), size):
        yield places[start : start + size]


@contextmanager
def in_flight(
    chunks: Sequence[Array], work: Callable[[Array], list[Array]]
) -> Iterator[Iterator[tuple[Array, list[Array]]]]:
    """Gives chunks of places and what `work` makes of them, in order; the first few are under way at once.

    While the trunk computes one chunk, the examples of others are read and decoded, or their rows written.
    """
    with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="fill") as threads:
        running = deque(threads.submit(work, chunk) for chunk in chunks[:_IN_FLIGHT])

        def made() -> Iterator[tuple[Array, list[Array]]]:
            for number, chunk in enumerate(chunks):
                yield chunk, running.popleft().result()
                if number + _IN_FLIGHT < len(chunks):
                    running.append(threads.submit(work, chunks[number + _IN_FLIGHT]))

        try:
            yield made()
        finally:
            for future in running:
                future.cancel()
