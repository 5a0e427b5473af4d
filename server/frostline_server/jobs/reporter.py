"""The reporter: tells the table what happens to a job, many events in one transaction, beside the training."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from frostline_server.jobs.curves import Curves
from frostline_server.jobs.leases import Leases
from frostline_server.jobs.records import Job
from frostline_server.training.events import Event, Filled
from frostline_zoo.catalogue.database import now
from frostline_zoo.errors import AbortedError

PAUSE_SECONDS = 0.1
"""The least time between two transactions: an epoch can be shorter than one."""


class Reporter:
    """Takes events at once and writes them soon: the first one now, then at most ten times a second.

    Attributes:
        lost: set where the job turned out to be another worker's; nothing is written any more.
        failure: what writing failed of, if it did.
    """

    def __init__(self, job: Job, leases: Leases, curves: Curves, written: Callable[[], None]) -> None:
        """Starts the reporter. `written` is called after every transaction."""
        self.lost = threading.Event()
        self.failure: BaseException | None = None
        self._job = job
        self._leases = leases
        self._curves = curves
        self._written = written
        self._waiting: list[tuple[datetime, Event]] = []
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self._thread.start()

    def tell(self, event: Event) -> None:
        """Takes an event that happens now."""
        with self._changed:
            if isinstance(event, Filled) and self._waiting and isinstance(self._waiting[-1][1], Filled):
                self._waiting[-1] = (now(), event)  # only how far it has come counts
            else:
                self._waiting.append((now(), event))
            self._changed.notify()

    def close(self) -> None:
        """Returns when everything that was told is written. Raises what writing failed of."""
        self._closing.set()
        with self._changed:
            self._changed.notify()
        self._thread.join()
        self._curves.close()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
                batch, self._waiting = self._waiting, []
            if not batch:
                return
            if not self._write(batch):
                return
            self._closing.wait(PAUSE_SECONDS)

    def _write(self, batch: Sequence[tuple[datetime, Event]]) -> bool:
        try:
            self._leases.append(self._job, batch)
            self._curves.write(batch)
        except AbortedError:
            self.lost.set()
            return False
        except BaseException as failure:
            self.failure = failure
            self.lost.set()
            return False
        self._written()
        return True
