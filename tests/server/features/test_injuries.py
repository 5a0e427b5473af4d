"""Injuries while features are read epoch after epoch, and disks that fill up: time is lost, and nothing else."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_server.features.store import FeatureStore

ROWS = 400


def injure(chance: random.Random, root: Path) -> None:
    """Does one thing to one of the store's files that nobody does but a broken disk or a careless hand."""
    paths = sorted(path for path in root.rglob("*") if path.is_file() and path.parent.name != "locks")
    segments = [path for path in paths if path.suffix == ".safetensors"]
    if not segments:
        return
    path, other = chance.choice(segments), chance.choice(segments)
    match chance.randrange(8):
        case 0:  # one bit, in the very file that is mapped
            with path.open("r+b") as file:
                place = chance.randrange(path.stat().st_size)
                file.seek(place)
                byte = file.read(1)[0]
                file.seek(place)
                file.write(bytes([byte ^ 1 << chance.randrange(8)]))
        case 1:
            os.truncate(path, chance.randrange(path.stat().st_size))
        case 2:
            path.unlink()
        case 3:  # two segments change names, maybe from trunk to trunk
            aside = root / "aside"
            os.replace(path, aside)
            if other != path:
                os.replace(other, path)
            os.replace(aside, other)
        case 4:
            path.parent.joinpath(chance.choice(["rows.json", "use.json"])).write_bytes(chance.randbytes(50))
        case 5:
            shutil.rmtree(chance.choice([path.parent, path.parent.parent]))
        case 6:
            path.write_bytes(chance.randbytes(path.stat().st_size))
        case 7:  # one bit of every four bytes is stuck, such as the signs of all numbers
            content, place = np.fromfile(path, np.uint8), chance.randrange(4)
            content[len(content) % 4 + place :: 4] &= 255 ^ 1 << chance.randrange(8)
            with path.open("r+b") as file:
                file.write(content.data)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_hundred_injuries_between_epochs_change_no_row(tmp_path: Path, tower: Any, numbers: Any, dtype: str) -> None:
    chance, expected = random.Random(dtype), tower(None, numbers(0, ROWS), dtype=dtype).all_rows()
    job = tower(FeatureStore(tmp_path), numbers(0, ROWS), (1, 2), dtype=dtype)
    for part in np.array_split(np.arange(ROWS), 5):  # several segments
        job.top.read(part)
        job.top.flush()
    for number in range(100):
        injure(chance, tmp_path)
        order = np.random.default_rng(number).permutation(ROWS)
        rows = np.concatenate([job.top.read(places)[0] for places in np.array_split(order, 4)])
        assert rows.tobytes() == expected[order].tobytes()
        job.top.flush()
        if number % 10 == 9:  # another job finds what is there now
            job.close()
            job = tower(FeatureStore(tmp_path), numbers(0, ROWS), (1, 2), dtype=dtype)
            job.top.fill([0], into_memory=False)
    assert job.heard.notes == []


def test_injuries_while_rows_are_read_change_none(tmp_path: Path, tower: Any, numbers: Any) -> None:
    expected, done, injured = tower(None, numbers(0, ROWS)).all_rows(), threading.Event(), []
    job = tower(FeatureStore(tmp_path), numbers(0, ROWS), (1, 2))
    job.top.fill([0], into_memory=False)

    def keep_injuring() -> None:
        """Cuts no file short: that ends a process that copies rows just then, and the job goes on in another one."""
        chance = random.Random(0)
        while not done.wait(0.002):
            paths = list(tmp_path.rglob("*.safetensors"))
            if not paths:
                continue
            path = chance.choice(paths)
            if chance.random() < 0.2:
                path.unlink()
            else:
                with path.open("r+b") as file:
                    file.seek(chance.randrange(path.stat().st_size))
                    file.write(chance.randbytes(8))
            injured.append(path)

    injuring = threading.Thread(target=keep_injuring)
    injuring.start()
    try:
        while len(injured) < 100 and injuring.is_alive():
            order = np.random.default_rng(len(injured)).permutation(ROWS)
            assert job.top.read(order)[0].tobytes() == expected[order].tobytes()
            job.top.flush()
    finally:
        done.set()
        injuring.join()
    assert len(injured) >= 100


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=False, capture_output=True
    ).returncode:
        pytest.skip("mounting a disk takes root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("into_memory", [False, True])
def test_a_disk_that_fills_up_in_mid_fill_ends_storing_and_nothing_else(
    small_disk: Path, tower: Any, numbers: Any, into_memory: bool
) -> None:
    job = tower(FeatureStore(small_disk), numbers(0, 4000), (2,))
    for part in np.array_split(np.arange(1000), 20):
        job.top.read(part)
        job.top.flush()
    assert FeatureStore(small_disk).size_bytes() > 0
    job.top.fill([0], into_memory=into_memory)
    assert job.heard.notes == ["features are not stored any more: the disk does not take them; the job goes on"]
    assert job.all_rows().tobytes() == tower(None, numbers(0, 4000)).all_rows().tobytes()
    assert not list(small_disk.rglob("*.tmp"))


def test_a_disk_that_takes_no_locks_ends_storing_and_nothing_else(tmp_path: Path, tower: Any, numbers: Any) -> None:
    (tmp_path / "locks").write_text("in the way of a folder")
    job = tower(FeatureStore(tmp_path, 1 << 20), numbers(0, 100), (1, 2))
    job.top.fill([0], into_memory=False)
    assert job.all_rows().tobytes() == tower(None, numbers(0, 100)).all_rows().tobytes()
    assert set(job.heard.notes) == {"features are not stored any more: the disk does not take them; the job goes on"}


def test_a_job_stays_within_the_budget_whatever_it_fills(tmp_path: Path, tower: Any, numbers: Any) -> None:
    store, sizes = FeatureStore(tmp_path, 40_000), []
    for start in range(0, 1000, 100):
        job = tower(store, numbers(start, start + 100), (1, 2), varies=bool(start % 200))
        job.top.fill([start // 100], into_memory=False)
        sizes.append(store.size_bytes())
        job.close()
    assert 20_000 < max(sizes) <= 40_000
