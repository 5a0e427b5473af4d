"""Filling: each row is computed once, in one pass over the examples, whoever asks, in threads or in processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_server.features.store import FeatureStore
from frostline_zoo.errors import InvalidError


def fill(tower: Any, views: tuple[int, ...] = (0,), *, into_memory: bool = False) -> list[int]:
    """Fills, and returns how many rows each cut computed, the low one first."""
    tower.top.fill(views, into_memory=into_memory)
    return [level.computed for level in tower.levels]


@pytest.mark.parametrize("into_memory", [False, True])
def test_one_pass_over_the_examples_fills_both_cuts(
    tmp_path: Path, tower: Any, numbers: Any, into_memory: bool
) -> None:
    both = tower(FeatureStore(tmp_path), numbers(0, 300), (1, 2))
    assert fill(both, into_memory=into_memory) == [300, 300]
    assert both.examples.read_count == 300
    both.top.close()
    assert [info.row_count for info in FeatureStore(tmp_path).trunks()] == [300, 300]


def test_rows_that_no_cut_has_are_computed_by_one_program_and_others_from_the_cut_below(
    tmp_path: Path, tower: Any, numbers: Any
) -> None:
    both = tower(FeatureStore(tmp_path), numbers(0, 320), (1, 2), varies=True)
    fill(both, (1, 2))
    assert ([part.batches for part in both.parts], both.joint.batches) == ([0, 0], 40)
    for view in (1, 2):
        rows = [level.read(np.arange(320), view)[0] for level in both.levels]
        direct = [tower(None, numbers(0, 320), (cut,), varies=True) for cut in (1, 2)]
        wanted = [each.levels[0].read(np.arange(320), view)[0] for each in direct]
        for found, one in zip(rows, wanted, strict=True):
            np.testing.assert_allclose(found, one, rtol=1e-5)
    both.close()
    more = tower(FeatureStore(tmp_path), numbers(0, 336), (1, 2), varies=True)
    more.levels[0].fill([1], into_memory=False)  # so that the upper cut alone lacks some
    assert fill(more, (1,)) == [16, 16]
    assert ([part.batches for part in more.parts], more.joint.batches) == ([1, 1], 0)


def test_of_rows_that_are_partly_there_and_one_of_those_damaged_each_is_counted_once(
    tmp_path: Path, tower: Any, numbers: Any
) -> None:
    fill(tower(FeatureStore(tmp_path), numbers(0, 300)))
    (segment,) = tmp_path.rglob("*.safetensors")
    with segment.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    more = tower(FeatureStore(tmp_path), numbers(0, 400))
    assert fill(more, into_memory=True) == [101]
    assert more.top.reused == 299
    assert (more.heard.rows, more.heard.computed) == (400, 101)
    assert more.all_rows().tobytes() == tower(None, numbers(0, 400)).all_rows().tobytes()


@pytest.mark.parametrize("into_memory", [False, True])
def test_equal_examples_are_computed_once(tmp_path: Path, tower: Any, numbers: Any, into_memory: bool) -> None:
    fill(tower(FeatureStore(tmp_path), numbers(0, 50)))
    alike, order = numbers(0, 100), np.random.default_rng(3).permutation(np.repeat(np.arange(100), 3))
    alike.digests, alike.rows = alike.digests[order], alike.rows[order]
    both = tower(FeatureStore(tmp_path), alike)
    assert fill(both, into_memory=into_memory) == [50]
    assert (both.top.reused, both.heard.rows, both.heard.computed) == (250, 300, 50)
    np.testing.assert_array_equal(both.all_rows(), tower(None, numbers(0, 100)).all_rows()[order])


def test_equal_examples_whose_row_is_lost_are_computed_once(tmp_path: Path, tower: Any, numbers: Any) -> None:
    alike, order = numbers(0, 100), np.random.default_rng(3).permutation(np.repeat(np.arange(100), 3))
    alike.digests, alike.rows = alike.digests[order], alike.rows[order]
    fill(tower(FeatureStore(tmp_path), alike))
    again = tower(FeatureStore(tmp_path), alike)
    for segment in tmp_path.rglob("*.safetensors"):
        segment.write_bytes(segment.read_bytes()[:-200])
    rows = again.all_rows()
    assert again.top.computed == 100
    np.testing.assert_array_equal(rows, tower(None, numbers(0, 100)).all_rows()[order])


def test_what_is_no_file_any_more_holds_no_rows_and_is_not_waited_for(tmp_path: Path, tower: Any, numbers: Any) -> None:
    fill(tower(FeatureStore(tmp_path), numbers(0, 50)))
    (segment,) = tmp_path.rglob("*.safetensors")
    segment.unlink()
    os.mkfifo(segment)
    assert [info.row_count for info in FeatureStore(tmp_path).trunks()] == [0]
    assert fill(tower(FeatureStore(tmp_path), numbers(0, 50))) == [50]


def test_a_segment_that_has_changed_gives_its_room_back(tmp_path: Path, tower: Any, numbers: Any) -> None:
    first = tower(FeatureStore(tmp_path), numbers(0, 50))
    fill(first)
    (segment,) = tmp_path.rglob("*.safetensors")
    segment.write_bytes(segment.read_bytes()[:-100])
    assert first.top.kept.lacks(np.arange(50), 0).all()
    assert not segment.exists()


def test_examples_that_only_begin_alike_are_computed_each(tower: Any, numbers: Any) -> None:
    examples = numbers(0, 40)
    examples.digests[:, 8] = np.arange(40)
    examples.digests[:, :8] = 7
    both = tower(None, examples)
    assert fill(both, into_memory=True) == [40]
    np.testing.assert_array_equal(both.top.in_memory()[0], tower(None, numbers(0, 40)).all_rows())


def test_what_is_missing_is_computed_while_what_is_there_is_read(tmp_path: Path, tower: Any, numbers: Any) -> None:
    fill(tower(FeatureStore(tmp_path), numbers(0, 300)))
    more = tower(FeatureStore(tmp_path), numbers(0, 320))
    begun, read = threading.Event(), more.top.kept.read
    forward = more.parts[0].forward

    def waited(*given: Any) -> Any:
        assert begun.wait(20)
        return read(*given)

    def said(*given: Any) -> Any:
        begun.set()
        return forward(*given)

    more.top.kept.read, more.parts[0].forward = waited, said
    assert fill(more, into_memory=True) == [20]


def test_a_job_that_reads_what_is_there_hears_that_it_is_to_stop(tmp_path: Path, tower: Any, numbers: Any) -> None:
    fill(tower(FeatureStore(tmp_path), numbers(0, 300)))
    stopped = tower(FeatureStore(tmp_path), numbers(0, 300), stop=lambda: True)
    with pytest.raises(InterruptedError):
        stopped.top.fill([0], into_memory=True)


def test_rows_that_a_higher_cut_is_computed_from_count_as_found(tmp_path: Path, tower: Any, numbers: Any) -> None:
    low = tower(FeatureStore(tmp_path), numbers(0, 200), (1, 2)).levels[0]
    low.fill([0], into_memory=False)
    fill(tower(FeatureStore(tmp_path), numbers(0, 220), (1, 2)))
    used = {info.digest[7]: (info.hits, info.misses) for info in FeatureStore(tmp_path).trunks()}
    assert used == {"1": (200, 220), "2": (0, 220)}


def test_rows_below_that_are_the_same_in_every_view_are_computed_and_stored_once(
    tmp_path: Path, tower: Any, numbers: Any
) -> None:
    both = tower(FeatureStore(tmp_path), numbers(0, 320), (1, 2), varies=True, varies_below=False)
    assert fill(both, (1, 2, 3)) == [320, 960]
    assert sorted(info.row_count for info in FeatureStore(tmp_path).trunks()) == [320, 960]


def test_a_deeper_cut_is_computed_from_the_lower_one_alone(tmp_path: Path, tower: Any, numbers: Any) -> None:
    low = tower(FeatureStore(tmp_path), numbers(0, 200), (1, 2)).levels[0]
    low.fill([0], into_memory=False)
    deeper = tower(FeatureStore(tmp_path), numbers(0, 220), (1, 2))
    assert fill(deeper) == [20, 220]
    assert deeper.examples.read_count == 20
    direct = tower(None, numbers(0, 220))
    np.testing.assert_allclose(deeper.all_rows(), direct.all_rows(), rtol=1e-5)


def test_rounded_rows_of_a_lower_cut_are_not_what_a_deeper_one_is_computed_from(
    tmp_path: Path, tower: Any, numbers: Any
) -> None:
    tower(FeatureStore(tmp_path), numbers(0, 100), (1, 2), dtype="float16").levels[0].fill([0], into_memory=False)
    both = tower(FeatureStore(tmp_path), numbers(0, 100), (1, 2), dtype="float16")
    fill(both)
    direct = tower(None, numbers(0, 100), dtype="float16")
    assert both.all_rows().tobytes() == direct.all_rows().tobytes()
    assert {info.row_count for info in FeatureStore(tmp_path).trunks()} == {100}  # none is there twice


def test_views_are_rows_of_their_own(tmp_path: Path, tower: Any, numbers: Any) -> None:
    store = FeatureStore(tmp_path)
    views = tower(store, numbers(0, 50), varies=True)
    assert fill(views, (1, 2)) == [100]
    assert fill(tower(store, numbers(0, 60), varies=True), (1, 2, 3)) == [20 + 60]
    assert not np.allclose(views.all_rows(1), views.all_rows(2))
    assert views.all_rows(2).tobytes() == tower(None, numbers(0, 50), varies=True).all_rows(2).tobytes()


def test_two_threads_that_need_the_same_rows_compute_each_once(tmp_path: Path, tower: Any, numbers: Any) -> None:
    towers = [tower(FeatureStore(tmp_path), numbers(0, 200), seconds=0.01) for _ in range(3)]
    with ThreadPoolExecutor(3) as threads:
        computed = list(threads.map(fill, towers))
    assert sorted(computed) == [[0], [0], [200]]
    assert {each.heard.rows for each in towers} == {200}
    assert len({each.all_rows().tobytes() for each in towers}) == 1


def test_jobs_over_rows_that_overlap_compute_what_the_other_lacks(tmp_path: Path, tower: Any, numbers: Any) -> None:
    towers = [tower(FeatureStore(tmp_path), numbers(*part), (1, 2), seconds=0.01) for part in ((0, 200), (100, 300))]
    with ThreadPoolExecutor(2) as threads:
        computed = list(threads.map(fill, towers))
    assert np.sum(computed, axis=0).tolist() == [300, 300]


def test_two_processes_that_need_the_same_rows_compute_each_once(tmp_path: Path, tower: Any, numbers: Any) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.Queue()

    def work() -> None:
        answers.put(fill(tower(FeatureStore(tmp_path), numbers(0, 200), (1, 2), seconds=0.01)))

    workers = [context.Process(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert sorted(answers.get(timeout=20) for _ in workers) == [[0, 0], [200, 200]]
    for worker in workers:
        worker.join()


def test_rows_of_a_process_that_dies_while_it_fills_are_filled_by_the_one_that_waits(
    tmp_path: Path, tower: Any, numbers: Any
) -> None:
    slow = multiprocessing.get_context("fork").Process(
        target=lambda: fill(tower(FeatureStore(tmp_path), numbers(0, 200), seconds=5))
    )
    slow.start()
    wait_for(lambda: any((tmp_path / "locks").glob("*.filling")))
    threading.Timer(0.3, slow.kill).start()
    assert fill(tower(FeatureStore(tmp_path), numbers(0, 200))) == [200]


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("waits", [False, True])
def test_filling_stops_within_a_batch_and_keeps_what_was_computed(
    tmp_path: Path, tower: Any, numbers: Any, waits: bool
) -> None:
    asked = threading.Event()
    slow = tower(FeatureStore(tmp_path), numbers(0, 2000), seconds=0.2, stop=asked.is_set)
    other = FeatureStore(tmp_path).filling(slow.top.tensors[0].digest, "float32", lambda: None)
    with other if waits else nullcontext():
        asking, started = threading.Timer(1.0, asked.set), time.monotonic()
        asking.start()
        with pytest.raises(InterruptedError):
            fill(slow)
        assert time.monotonic() - started < 1.0 + 0.5
    kept = sum(info.row_count for info in FeatureStore(tmp_path).trunks())
    assert waits or kept > 0
    rest = tower(FeatureStore(tmp_path), numbers(0, 2000))
    assert fill(rest) == [2000 - kept]
    assert rest.all_rows().tobytes() == tower(None, numbers(0, 2000)).all_rows().tobytes()


def test_an_overflow_beside_rows_that_are_no_numbers_is_refused_and_not_stored(
    tmp_path: Path, tower: Any, numbers: Any
) -> None:
    examples = numbers(0, 64)
    examples.rows[3], examples.rows[40] = np.nan, 1e5
    with pytest.raises(InvalidError, match=r"layer 'h2' puts out .*e\+04, and float16 ends at 6.55e\+04: write cache"):
        fill(tower(FeatureStore(tmp_path), examples, dtype="float16"))
    assert tower(FeatureStore(tmp_path), examples, dtype="float16").top.kept.lacks(np.array([40]), 0).all()


def test_the_work_of_a_filling_that_is_stopped_is_counted(tmp_path: Path, tower: Any, numbers: Any) -> None:
    store, stopping = FeatureStore(tmp_path), threading.Event()
    cut_off = tower(store, numbers(0, 300), seconds=0.05, stop=stopping.is_set)
    threading.Timer(0.1, stopping.set).start()
    with pytest.raises(InterruptedError):
        fill(cut_off)
    (info,) = store.trunks()
    assert 0 < cut_off.top.computed < 300
    fill(tower(store, numbers(0, 300)))
    assert store.use_of(info.digest, info.dtype).misses == 300
