"""Rows on their way to the store: written together, by one thread at a time, never more in memory than is bounded."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from frostline_server.features import unsaved
from frostline_server.features.unsaved import Computed, Unsaved

ROWS_BYTES = 4000


def computed(number: int) -> Computed:
    return Computed(np.array([number]), 0, [np.zeros(ROWS_BYTES // 4, np.float32)])


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsaved, "_FLUSH_BYTES", 4 * ROWS_BYTES)


def test_rows_are_written_together_and_the_rest_on_request() -> None:
    written: list[list[int]] = []
    rows = Unsaved(lambda waiting: written.append([int(each.places[0]) for each in waiting]))
    for number in range(6):
        rows.add(computed(number))
    assert written == [[0, 1, 2, 3]]
    rows.flush()
    rows.flush()
    assert written == [[0, 1, 2, 3], [4, 5]]


def test_others_compute_on_while_one_writes_until_there_is_as_much_again() -> None:
    writes, may_write = threading.Event(), threading.Event()
    sizes = []

    def write(waiting: Sequence[Computed]) -> None:
        writes.set()
        may_write.wait(30)
        sizes.append(len(waiting))

    rows = Unsaved(write)
    for number in range(3):
        rows.add(computed(number))
    with ThreadPoolExecutor(2) as threads:
        threads.submit(rows.add, computed(3))
        assert writes.wait(30)
        for number in range(4, 7):
            rows.add(computed(number))
        stuck = threads.submit(rows.add, computed(7))  # with it there is as much again as is being written
        with pytest.raises(TimeoutError):
            stuck.result(0.2)
        may_write.set()
    assert sizes == [4, 4]
