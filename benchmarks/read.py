"""How fast stored rows are read in shuffled batches, from memory that the system keeps of the disk.

An epoch's rows in batches of 32, ours as a stage streams them: found by their keys, checksums verified, in slices that
are read ahead in the order in which the epoch takes them. Held against NumPy, which gathers the batches from a mapped
.npy file.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from report import Report
from subjects import unheard

from frostline_server.features.features import CutTensor, Features
from frostline_server.features.segment import feature_keys
from frostline_server.features.store import FeatureStore
from frostline_server.training.stage import ReadAhead

BATCH_SIZE = 32
SEGMENT_BYTES = 64 << 20
TRUNK = f"sha256:{'5' * 64}"


class Digests:
    """Examples of which only the digests are known."""

    row_bytes = 0

    def __init__(self, count: int) -> None:
        self.digests = np.random.default_rng(1).integers(0, 256, (count, 32), np.uint8)

    def inputs(self, places: Any) -> Any:
        """All rows are stored, so nobody asks."""
        raise AssertionError


def stored(folder: Path, rows: Any) -> Features:
    """Returns features with the rows stored, in segments as filling writes them."""
    store, examples = FeatureStore(folder), Digests(len(rows))
    tensor = CutTensor("features", TRUNK, rows.shape[1:], "float32", "float32")
    trunk, each = store.open(TRUNK, rows.shape[1:], "float32"), SEGMENT_BYTES // rows[0].nbytes
    for start in range(0, len(rows), each):
        store.append(trunk, feature_keys(examples.digests[start : start + each]), rows[start : start + each])
    return Features([tensor], examples, None, None, store, unheard)


def batches_of(ahead: ReadAhead, order: Any) -> Iterator[Any]:
    """Yields an epoch's batches: a slice has its rows in order."""
    for part in ahead.slices(order, 0):
        yield from part.features[0][: len(part.order)].reshape(-1, BATCH_SIZE, *part.features[0].shape[1:])


def gathered(rows: Any, order: Any) -> Iterator[Any]:
    """Yields batches of rows, gathered by NumPy."""
    for start in range(0, len(order), BATCH_SIZE):
        yield rows[order[start : start + BATCH_SIZE]]


def seconds(parts: Iterator[Any]) -> float:
    """Returns how long it takes until everything is there."""
    started = time.perf_counter()
    for part in parts:
        part[0, 0]
    return time.perf_counter() - started


def main() -> None:
    report = Report("read", __doc__)
    total = (512 << 20) if report.quick else (1 << 30)
    with tempfile.TemporaryDirectory() as name:
        for row_bytes in (1 << 10, 16 << 10):
            folder = Path(name) / str(row_bytes)
            folder.mkdir()
            rows = np.random.default_rng(0).random((total // row_bytes, row_bytes // 4), np.float32)
            np.save(folder / "rows.npy", rows)
            ahead = ReadAhead(stored(folder / "features", rows), np.zeros(len(rows), np.int64), BATCH_SIZE)
            mapped, random = np.load(folder / "rows.npy", mmap_mode="r"), np.random.default_rng(2)
            for repeat in range(report.repeats + 1):
                order = random.permutation(len(rows))
                if not repeat:  # brings all into memory, and shows that both read the same
                    both = zip(batches_of(ahead, order), gathered(mapped, order), strict=True)
                    assert all((left == right).all() for left, right in both)
                    continue
                bare = seconds(gathered(mapped, order))
                report.row(repeat=repeat, row_bytes=row_bytes, what="numpy", bytes_per_second=total / bare)
                taken = seconds(batches_of(ahead, order))
                report.row(repeat=repeat, row_bytes=row_bytes, what="ours", bytes_per_second=total / taken)
                report.ratio(f"ours / numpy, rows of {row_bytes} bytes", bare / taken, wanted=0.7)
    report.end()


if __name__ == "__main__":
    main()
