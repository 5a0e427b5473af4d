"""The bell: wakes those who wait for news of a job."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from frostline_zoo.names import JobName


class Bell:
    """Rung when something happened to a job. It says only that: what happened stands in the table.

    It belongs to one event loop.
    """

    def __init__(self) -> None:
        self._listeners: dict[JobName, set[asyncio.Event]] = {}
        self.closed = False

    @contextmanager
    def listen(self, job: JobName) -> Iterator[asyncio.Event]:
        """Gives an event that is set at every ring for `job`; clear it before looking, and no ring is missed."""
        rung = asyncio.Event()
        listeners = self._listeners.setdefault(job, set())
        listeners.add(rung)
        try:
            yield rung
        finally:
            listeners.discard(rung)
            if not listeners:
                self._listeners.pop(job, None)

    def ring(self, job: JobName) -> None:
        """Wakes those who listen for `job`."""
        for rung in self._listeners.get(job, ()):
            rung.set()

    def close(self) -> None:
        """Wakes everybody for the last time: the server is stopping."""
        self.closed = True
        for job in list(self._listeners):
            self.ring(job)
