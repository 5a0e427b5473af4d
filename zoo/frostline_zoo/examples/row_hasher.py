"""Hashing rows beside whatever else Python does.

Python holds its lock while it hashes less than 2 KiB, so a server that hashes the rows of a push can neither receive
nor write meanwhile, however many processors there are. A process of its own hashes them from shared memory, to which
they are copied in a tenth of the time.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
from typing_extensions import Buffer

from frostline_zoo.examples import row_hashing
from frostline_zoo.examples.helper_process import HelperProcess
from frostline_zoo.examples.row_hashing import AREA_BYTES, DONE, REQUEST
from frostline_zoo.examples.spec import DIGEST_BYTES, Digests, ExampleSpec, digest_prefix, rows_digests

UNLOCKED_BYTES = 2048
"""Python lets go of its lock while it hashes as much as this, or more."""

WORTH_SENDING_BYTES = 1 << 18


class RowHasher:
    """Computes what `rows_digests` computes. Threads may share one: who finds it at work hashes for itself."""

    def __init__(self) -> None:
        """Starts nothing: the process comes with the first rows that are worth it, and ends with this one."""
        self._lock = threading.Lock()
        self._process: _Process | None = None

    def digests(self, spec: ExampleSpec, rows: Buffer) -> Digests:
        """Returns the digests of arrays that stand one after the other in `rows`, (n, 32)."""
        view, row_bytes = memoryview(rows).cast("B"), spec.content_bytes
        count = len(view) // row_bytes
        is_worth_it = row_bytes < UNLOCKED_BYTES and len(view) >= WORTH_SENDING_BYTES
        has_room = len(view) <= AREA_BYTES and count * DIGEST_BYTES <= AREA_BYTES
        if not is_worth_it or not has_room or not self._lock.acquire(blocking=False):
            return rows_digests(spec, view)
        try:
            if self._process is None:
                self._process = _Process()
            return self._process.digests(digest_prefix(spec), row_bytes, count, view)
        except OSError:  # it was killed, or could not be started: the next rows try again
            self._process = None
            return rows_digests(spec, view)
        finally:
            self._lock.release()


class _Process:
    """The process, and the two halves of its memory."""

    def __init__(self) -> None:
        self._helper = HelperProcess(["-S", str(Path(row_hashing.__file__))], "frostline-rows", 2 * AREA_BYTES)
        self._rows, self._digests = self._helper.area.reshape(2, -1)

    def digests(self, prefix: bytes, row_bytes: int, count: int, rows: memoryview) -> Digests:
        """Returns the digests of `count` rows, (count, 32). Raises OSError where the process has ended."""
        requests = self._helper.requests
        self._rows[: len(rows)] = np.frombuffer(rows, np.uint8)  # for which NumPy lets go of Python's lock
        requests.write(REQUEST.pack(len(prefix), row_bytes, count) + prefix)
        requests.flush()
        if self._helper.answers.read(1) != DONE:
            raise BrokenPipeError
        return self._digests[: count * DIGEST_BYTES].reshape(count, DIGEST_BYTES).copy()
