"""The table that finds digests: what it holds, digests that begin alike, and what is added while others look."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from frostline_zoo.examples import digest_table
from frostline_zoo.examples.digest_table import DigestTable
from frostline_zoo.examples.spec import Digests


@pytest.fixture(autouse=True, params=[16, digest_table.MIN_SLOTS])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that has to grow, and one that has room from the start."""
    monkeypatch.setattr(digest_table, "MIN_SLOTS", request.param)


def digests(count: int, seed: int = 1) -> Digests:
    return np.random.default_rng(seed).integers(0, 256, (count, 32), np.uint8)


@pytest.mark.parametrize("sizes", [(0, 1, 0), (5, 7000, 3, 20_000)])
def test_every_digest_is_found_in_its_group_and_row(sizes: tuple[int, ...]) -> None:
    table, groups = DigestTable(), [digests(size, seed) for seed, size in enumerate(sizes)]
    table.add(groups[:1])
    table.add(groups[1:])
    order = np.random.default_rng(2).permutation(sum(sizes))
    found_groups, found_rows = table.find(np.concatenate(groups)[order])
    assert (found_groups == np.repeat(np.arange(len(sizes)), sizes)[order]).all()
    assert (found_rows == np.concatenate([np.arange(size) for size in sizes])[order]).all()
    assert len(table) == sum(sizes)


def test_digests_that_are_not_there_are_missing() -> None:
    table = DigestTable()
    table.add([digests(100)])
    assert table.missing(np.concatenate([digests(3), digests(2, seed=9), digests(1)])).tolist() == [3, 4]


def test_digests_that_begin_alike_are_told_apart() -> None:
    alike, table = digests(300), DigestTable()
    alike[:, :8] = 7
    table.add([alike[:100]])
    table.add([alike[100:200]])
    groups, rows = table.find(alike)
    assert groups.tolist() == [0] * 100 + [1] * 100 + [-1] * 100
    assert rows[:200].tolist() == [*range(100)] * 2


def test_a_full_end_goes_on_at_the_beginning() -> None:
    last, table = digests(6), DigestTable()
    last[:, :8] = 255
    table.add([last])
    assert table.find(last)[1].tolist() == [*range(6)]
    assert table.missing(digests(6)).tolist() == [*range(6)]


def test_what_is_there_is_found_while_others_come_and_the_table_grows() -> None:
    table, first, stopped = DigestTable(), digests(2000), threading.Event()
    table.add([first])

    def look() -> list[bool]:
        found = []
        while not stopped.is_set() or not found:
            groups, rows = table.find(first)
            found.append(not groups.any() and (rows == np.arange(2000)).all() and not len(table.missing(first)))
        return found

    with ThreadPoolExecutor() as threads:
        looking = threads.submit(look)
        for seed in range(2, 60):
            table.add([digests(1500, seed)])
        stopped.set()
    assert all(looking.result())
