"""How much a worker has gathered: TensorFlow keeps what it has compiled, some megabytes a network, and never lets go.

A worker that has grown too much ends after what it is at, and a fresh one follows it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from frostline_server.jobs.freed_memory import give_freed_memory_back

LEAST_WORK = 16
"""However large the networks are, so much is done before the seconds that a fresh worker takes to get warm."""


class Growth:
    """How much this process has grown since it was warm."""

    def __init__(self, allowed_bytes: int) -> None:
        self._allowed_bytes = allowed_bytes
        give_freed_memory_back()  # which is kept for what comes next, and not gathered
        self._warm_bytes = _resident_bytes()
        self._done = 0

    def is_too_much(self) -> bool:
        """Says whether a fresh process should follow. Called once a piece of work is done."""
        self._done += 1
        if self._done < LEAST_WORK or not self._has_grown():
            return False
        give_freed_memory_back()
        return self._has_grown()

    def _has_grown(self) -> bool:
        return _resident_bytes() - self._warm_bytes > self._allowed_bytes


def _resident_bytes() -> int:
    """Returns how much memory this process has; 0 where the system does not say."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
