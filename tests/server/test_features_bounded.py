"""The feature store's budget: it is never passed, what is worth least goes first, and nothing that a job reads."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from frostline_server.features.segment import feature_keys, segment_bytes
from frostline_server.features.store import FeatureStore
from frostline_zoo.errors import ExhaustedError

ROWS, SHAPE = 100, (64,)
SIZE = segment_bytes(ROWS, 256)


def trunk(number: int) -> str:
    return "sha256:" + f"{number:02x}" * 32


def keep(store: FeatureStore, number: int, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> None:
    """Stores a hundred rows of a trunk."""
    chance = np.random.default_rng([number, seed])
    keys = feature_keys(chance.integers(0, 256, (ROWS, 32), dtype=np.uint8))
    store.append(store.open(trunk(number), shape, "float32"), keys, np.zeros((ROWS, *shape), np.float32))


def used(store: FeatureStore, number: int, seconds_per_row: float, days_ago: float = 0) -> None:
    """Notes what a trunk's rows cost, and when they were used."""
    store.note_use(store.open(trunk(number), SHAPE, "float32"), 0, ROWS, seconds_per_row)
    path = store.root / trunk(number)[7:] / "float32" / "use.json"
    noted = json.loads(path.read_bytes())
    noted["last_used"] = (datetime.now(UTC) - timedelta(days=days_ago)).isoformat()
    path.write_text(json.dumps(noted))


def kept(store: FeatureStore) -> list[int]:
    """Returns which trunks have rows."""
    return [int(info.digest[-2:], 16) for info in store.trunks() if info.row_count]


@pytest.mark.parametrize(
    ("first", "second", "goes"),
    [
        ((0.001, 0), (1.0, 0), 1),  # cheap to compute again
        ((1.0, 0), (0.001, 0), 2),
        ((1.0, 30), (1.0, 0), 1),  # as dear, and of long ago
        ((1.0, 0), (1.0, 30), 2),
        ((0.0, 0), (0.0, 3), 2),  # of unknown cost, both
        ((0.0, 3), (0.0, 0), 1),
    ],
)
def test_what_is_cheap_and_of_long_ago_goes_first(
    tmp_path: Path, first: tuple[float, float], second: tuple[float, float], goes: int
) -> None:
    store = FeatureStore(tmp_path, 2 * SIZE + 8000)
    for number, (seconds, days) in ((1, first), (2, second)):
        keep(store, number)
        used(store, number, seconds, days)
    keep(store, 3)
    assert kept(store) == sorted({1, 2, 3} - {goes})


def test_large_rows_go_before_small_ones_of_the_same_cost(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 4 * SIZE)
    keep(store, 1)
    keep(store, 2, shape=(128,))
    for number in (1, 2):
        used(store, number, 1.0)
    keep(store, 3, shape=(128,))
    assert kept(store) == [1, 3]


def test_rows_that_a_job_reads_are_neither_evicted_nor_pruned(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 2 * SIZE)
    keep(store, 1)
    with FeatureStore(tmp_path).reading(trunk(1), "float32"):
        keep(store, 2)
        assert kept(store) == [1, 2]
        keep(store, 3)
        assert kept(store) == [1, 3]
        refusal = rf"{2 * SIZE} bytes .* running jobs"
        with store.reading(trunk(3), "float32"), pytest.raises(ExhaustedError, match=refusal):
            keep(store, 4)
        assert store.prune(lambda _: True).in_use == 1
        assert kept(store) == [1]
    assert store.prune(lambda _: True).row_count == ROWS
    assert store.size_bytes() == 0


@pytest.mark.parametrize(("budget", "stay"), [(None, [1, 2, 3]), (2 * SIZE, [2, 3]), (0, [3])])
def test_a_smaller_budget_evicts_at_once_but_what_a_job_reads(
    tmp_path: Path, budget: int | None, stay: list[int]
) -> None:
    store = FeatureStore(tmp_path)
    for number, seconds in ((1, 0.1), (2, 0.2), (3, 0.0)):
        keep(store, number)
        used(store, number, seconds)
    with store.reading(trunk(3), "float32"):
        FeatureStore(tmp_path, budget).trim()
    assert kept(store) == stay


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rows_of_a_few_bytes_are_counted_with_all_that_they_take(tmp_path: Path, dtype: str) -> None:
    keys = feature_keys(np.random.default_rng(0).integers(0, 256, (1000, 32), dtype=np.uint8))
    FeatureStore(tmp_path).open(trunk(1), (), dtype).append(keys, np.zeros(1000, dtype))
    size = FeatureStore(tmp_path).size_bytes()
    shutil.rmtree(tmp_path)
    store = FeatureStore(tmp_path, size - 1)
    with pytest.raises(ExhaustedError):
        store.append(store.open(trunk(1), (), dtype), keys, np.zeros(1000, dtype))


def test_two_writers_at_once_stay_within_the_budget(tmp_path: Path) -> None:
    """Each of them sees the room that there is, and both would take it."""
    budget, over = 4 * SIZE, 0
    keep(FeatureStore(tmp_path), 9)
    with ThreadPoolExecutor(2) as writers:
        for seed in range(40):
            list(writers.map(lambda number: keep(FeatureStore(tmp_path, budget), number, seed), (1, 2)))  # noqa: B023
            over = max(over, FeatureStore(tmp_path).size_bytes() - budget)
    assert over == 0


@pytest.mark.parametrize("text", ["", "[", "5", "null", '{"shape": Infinity, "hits": -Infinity}', "[" * 100000, "\xff"])
def test_trunks_whose_descriptions_are_garbage_are_listed_and_evicted(tmp_path: Path, text: str) -> None:
    store = FeatureStore(tmp_path, 2 * SIZE)
    keep(store, 1)
    for name in ("rows.json", "use.json"):
        (tmp_path / trunk(1)[7:] / "float32" / name).write_text(text, "latin-1")
    (info,) = store.trunks()
    assert (info.row_count, info.shape, info.hits, info.seconds_per_row) == (ROWS, (), 0, 0.0)
    keep(store, 2)
    keep(store, 3)
    assert kept(store) == [2, 3]


@pytest.mark.parametrize(
    "value", ['"hits": 1e999', '"hits": -1', '"seconds_per_row": NaN', '"last_used": "9999-12-31"']
)
def test_uses_that_nobody_can_have_noted_are_forgotten(tmp_path: Path, value: str) -> None:
    store = FeatureStore(tmp_path)
    keep(store, 1)
    used(store, 1, 0.5)
    path = tmp_path / trunk(1)[7:] / "float32" / "use.json"
    path.write_text(path.read_text()[:-1] + f", {value}}}")
    (info,) = store.trunks()
    assert info.hits >= 0
    assert info.value() >= 0


def test_what_a_process_left_that_died_in_mid_write_is_removed(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 4 * SIZE)
    keep(store, 1)
    old, new = (tmp_path / trunk(1)[7:] / "float32" / f"0000000{each}-aaaaaaaa.tmp" for each in (1, 2))
    for path in (old, new):
        path.write_bytes(bytes(1000))
    os.utime(old, (0, 0))
    keep(store, 2)
    assert (old.exists(), new.exists()) == (False, True)
