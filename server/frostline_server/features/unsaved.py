"""Rows on their way to the store: collected as they are computed, written many at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy.typing as npt

Array = npt.NDArray[Any]

_FLUSH_BYTES = 64 << 20
_FLUSH_SECONDS = 5.0


class Computed(NamedTuple):
    """Rows that were computed together: of which examples (k,), in which view, and one array a tensor, (k, *shape)."""

    places: Array
    view: int
    rows: Sequence[Array]


class Unsaved:
    """Rows of one cut that are computed and not written yet. Threads may share one.

    While one thread writes, others go on computing, until there is as much to write again: so memory stays bounded
    however slow the disk is.
    """

    def __init__(self, write: Callable[[list[Computed]], None]) -> None:
        """Takes what writes rows; it is called by one thread at a time."""
        self._write = write
        self._writing = threading.Lock()  # taken first where both are
        self._changing = threading.Lock()
        self._waiting: list[Computed] = []
        self._size_bytes, self._written_at = 0, time.monotonic()

    def add(self, computed: Computed) -> None:
        """Takes rows, and writes what has come together once that is enough, or has waited for long."""
        with self._changing:
            self._waiting.append(computed)
            self._size_bytes += sum(rows.nbytes for rows in computed.rows)
        if self._is_due():
            with self._writing:
                if self._is_due():  # and nobody has written it meanwhile
                    self._write_all()

    def flush(self) -> None:
        """Writes all that there is."""
        with self._writing:
            self._write_all()

    def _is_due(self) -> bool:
        return self._size_bytes >= _FLUSH_BYTES or time.monotonic() - self._written_at >= _FLUSH_SECONDS

    def _write_all(self) -> None:
        with self._changing:
            waiting, self._waiting = self._waiting, []
            self._size_bytes, self._written_at = 0, time.monotonic()
        if waiting:
            self._write(waiting)
