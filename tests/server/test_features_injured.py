"""Injuries to the feature store's files while they are open: what cannot be trusted is not answered, nothing dies."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from frostline_server.features.segment import feature_keys
from frostline_server.features.store import FeatureStore, TrunkRows

TRUNK = "sha256:" + "a1" * 32
SHAPE = (512,)  # rows of half a page: what is cut off a file is whole pages


def keys(start: int, stop: int) -> np.ndarray:
    digests = np.zeros((stop - start, 32), np.uint8)
    digests[:, :8] = np.arange(start, stop, dtype=np.uint64)[:, None].view(np.uint8)
    return feature_keys(digests)


def values(start: int, stop: int) -> np.ndarray:
    return (np.arange(start, stop)[:, None] + np.linspace(0, 1, SHAPE[0])).astype(np.float32)


def opened(folder: Path, segments: int = 2) -> TrunkRows:
    """Opens twenty rows a segment."""
    rows = FeatureStore(folder).open(TRUNK, SHAPE, "float32")
    for start in range(0, 20 * segments, 20):
        rows.append(keys(start, start + 20), values(start, start + 20))
    return FeatureStore(folder).open(TRUNK, SHAPE, "float32")


def there(rows: TrunkRows, count: int) -> np.ndarray:
    """Reads rows from 0 on, checks what is answered, and returns which were."""
    out = np.empty((count, *SHAPE), np.float32)
    present = rows.read(rows.find(keys(0, count)), out)
    assert (out[present] == values(0, count)[present]).all()
    return present


def segments(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def test_rows_can_be_appended_beside_an_open_segment_that_was_cut_to_nothing(tmp_path: Path) -> None:
    rows = opened(tmp_path)
    os.truncate(segments(tmp_path)[0], 0)
    assert there(rows, 40).sum() == 20
    rows.append(keys(0, 20), values(0, 20))
    assert there(rows, 40).all()


def test_an_open_segment_that_was_cut_short_and_then_deleted_is_not_read(tmp_path: Path) -> None:
    rows = opened(tmp_path)
    os.truncate(segments(tmp_path)[0], 100)
    segments(tmp_path)[0].unlink()
    assert there(rows, 40).sum() == 20


def test_open_segments_that_change_places_are_not_read(tmp_path: Path) -> None:
    rows = opened(tmp_path)
    first, second = segments(tmp_path)
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    os.truncate(second, 100)
    assert not there(rows, 40).any()
    assert there(FeatureStore(tmp_path).open(TRUNK, SHAPE, "float32"), 40).sum() == 20


@pytest.mark.parametrize("name", ["I64", "F64"])
def test_a_segment_of_another_dtype_is_not_read(tmp_path: Path, name: str) -> None:
    opened(tmp_path)
    for path in segments(tmp_path):
        path.write_bytes(path.read_bytes().replace(b'"U64"', f'"{name}"'.encode()))
    assert not there(FeatureStore(tmp_path).open(TRUNK, SHAPE, "float32"), 40).any()


def test_threads_read_whole_rows_while_another_one_appends(tmp_path: Path) -> None:
    rows, failures, done = opened(tmp_path, segments=1), [], threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                assert there(rows, 20).all()
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for start in range(20, 2020, 20):
        rows.append(keys(start, start + 20), values(start, start + 20))
    done.set()
    for reader in readers:
        reader.join()
    assert not failures
