"""Rows of many files as one array: each is what its file holds, wherever the file's rows begin among the others."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from frostline_server.features.side_by_side import PAGE_BYTES, SideBySide

RNG = np.random.default_rng(0)
IN_FEW_ADDRESSES = """
import resource, sys
from frostline_server.features.side_by_side import SideBySide
import numpy as np
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, resource.RLIM_INFINITY))
many = [SideBySide(1000) for _ in range(20)]
np.ones(4 << 30, np.uint8)
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (1 << 20), resource.RLIM_INFINITY))
assert not SideBySide(1000).has_room(1000)
"""


def added(side_by_side: SideBySide, path: Path, rows: np.ndarray) -> int:
    """Writes rows behind a page of something else, and maps them."""
    path.write_bytes(b"\1" * PAGE_BYTES + rows.tobytes())
    with path.open("rb") as file:
        return side_by_side.add(file.fileno(), PAGE_BYTES, len(rows))


@pytest.mark.parametrize("row_bytes", [0, 1, 12, 1000, PAGE_BYTES, 5 * PAGE_BYTES, 3 * PAGE_BYTES + 8])
def test_rows_of_several_files_are_taken_in_any_order(tmp_path: Path, row_bytes: int) -> None:
    side_by_side = SideBySide(row_bytes)
    files = [RNG.integers(0, 256, (count, row_bytes), np.uint8) for count in (1, 7, 30)]
    firsts = [added(side_by_side, tmp_path / str(number), rows) for number, rows in enumerate(files)]
    numbers = np.concatenate([first + np.arange(len(rows)) for first, rows in zip(firsts, files, strict=True)])
    order = RNG.permutation(len(numbers))
    out = np.empty((len(numbers), row_bytes), np.uint8)
    side_by_side.take(numbers[order], out)
    assert (out == np.concatenate(files)[order]).all()


def test_rows_stay_when_their_file_is_gone(tmp_path: Path) -> None:
    side_by_side, rows = SideBySide(8), RNG.integers(0, 256, (3, 8), np.uint8)
    first = added(side_by_side, tmp_path / "rows", rows)
    (tmp_path / "rows").unlink()
    out = np.empty((3, 8), np.uint8)
    side_by_side.take(first + np.arange(3), out)
    assert (out == rows).all()


def test_rows_that_begin_inside_a_page_are_not_mapped(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(bytes(100))
    with (tmp_path / "rows").open("rb") as file, pytest.raises(OSError, match="cannot be mapped"):
        SideBySide(4).add(file.fileno(), 4, 3)


def test_more_rows_than_there_are_addresses_for_are_not_mapped(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(bytes(100))
    with (tmp_path / "rows").open("rb") as file, pytest.raises(OSError, match="no addresses"):
        SideBySide(1 << 30).add(file.fileno(), 0, 1 << 20)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not count addresses")
def test_a_process_with_few_addresses_takes_fewer() -> None:
    subprocess.run([sys.executable, "-c", IN_FEW_ADDRESSES], check=True)


def test_threads_add_files_at_once(tmp_path: Path) -> None:
    side_by_side = SideBySide(8)
    files = [RNG.integers(0, 256, (2000, 8), np.uint8) for _ in range(64)]
    with ThreadPoolExecutor(8) as threads:
        firsts = list(threads.map(lambda at: added(side_by_side, tmp_path / str(at), files[at]), range(64)))
    for first, rows in zip(firsts, files, strict=True):
        out = np.empty((2000, 8), np.uint8)
        side_by_side.take(first + np.arange(2000), out)
        assert (out == rows).all()
