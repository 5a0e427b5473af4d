"""How long a broken connection is tried again."""

from __future__ import annotations

import time

from frostline_client.errors import NoServerError, UnavailableError

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 2.0


class Patience:
    """Lets work that can go on where it stopped wait for the server to come back.

    It waits longer each time, and gives up `seconds` after the last progress. A server that never answered at all is
    not waited for: the address is probably wrong.
    """

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._wait_seconds = FIRST_WAIT_SECONDS
        self._failing_since: float | None = None
        self._has_answered = False

    def progressed(self) -> None:
        """Says that the server answers."""
        self._has_answered = True
        self._failing_since = None
        self._wait_seconds = FIRST_WAIT_SECONDS

    def wait(self, error: UnavailableError, *, until: float | None = None) -> None:
        """Sleeps before the next attempt, no longer than `until` on the monotonic clock.

        Raises:
            UnavailableError: `error`, when there is no point in waiting longer.
        """
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        self._has_answered = self._has_answered or not isinstance(error, NoServerError)
        if not self._has_answered or now - self._failing_since > self._seconds:
            raise error
        time.sleep(self._wait_seconds if until is None else max(0.0, min(self._wait_seconds, until - now)))
        self._wait_seconds = min(2 * self._wait_seconds, LONGEST_WAIT_SECONDS)
