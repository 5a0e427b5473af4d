"""The feature store: what trunks put out, row by row, under (trunk digest, example digest, view).

    ROOT/<hex of the trunk digest>/<dtype>/rows.json                 one row's shape and dtype
    ROOT/<hex of the trunk digest>/<dtype>/use.json                  hits, misses, last use, what a row costs
    ROOT/<hex of the trunk digest>/<dtype>/00000000-*.safetensors    segments
    ROOT/locks/                                                      who reads, who fills

It holds at most `budget_bytes`: where more comes, the segments go first whose rows are the cheapest to compute again
for each byte that they take, those of long ago before those of today, and never those that a running job reads.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from frostline_server.features import locks
from frostline_server.features.rows import SEGMENTS, TrunkRows, read_shape
from frostline_server.features.segment import segment_bytes, segment_row_count
from frostline_server.features.uses import Use, note_use, read_use
from frostline_zoo.errors import ExhaustedError

_DAY_SECONDS = 86400.0
_UNFINISHED_SECONDS = 3600.0


@dataclass(frozen=True)
class TrunkInfo:
    """What is stored of one trunk in one dtype.

    Attributes:
        digest: the trunk's digest.
        dtype: what its rows are kept as.
        row_count: how many rows, one view of one example each.
        size_bytes: on disk.
        shape: of one row; () where that is not known.
        hits, misses: rows that jobs found here, and rows that they had to compute.
        last_used: when a job last read or wrote rows.
        seconds_per_row: what computing one row took; 0 where that is not known.
    """

    digest: str
    dtype: str
    row_count: int
    size_bytes: int
    shape: tuple[int, ...]
    hits: int
    misses: int
    last_used: datetime
    seconds_per_row: float

    def value(self) -> float:
        """Returns what keeping a byte is worth: seconds to compute it again, less the longer nobody used it."""
        row_bytes = self.size_bytes / max(1, self.row_count)
        idle_days = max(0.0, (datetime.now(UTC) - self.last_used).total_seconds() / _DAY_SECONDS)
        return self.seconds_per_row / max(1.0, row_bytes) / (1 + idle_days)


@dataclass(frozen=True)
class Pruned:
    """What pruning removed, or would remove; `in_use` trunks were left since a running job reads them."""

    row_count: int
    size_bytes: int
    in_use: int


class FeatureStore:
    """Features of any number of trunks, in one folder. Processes may share it."""

    def __init__(self, root: Path, budget_bytes: int | None = None) -> None:
        """`budget_bytes` is the most that it holds; None: as much as the disk takes, 0: nothing."""
        self.budget_bytes = budget_bytes
        self.root = root

    def open(self, trunk: str, shape: tuple[int, ...], dtype: str) -> TrunkRows:
        """Returns the rows of one trunk, each of `shape`, kept as `dtype`."""
        return TrunkRows(self._folder(trunk, dtype), trunk, shape, dtype)

    def has(self, trunk: str, dtype: str) -> bool:
        """Returns whether there may be rows of a trunk."""
        return self._folder(trunk, dtype).is_dir()

    def reading(self, trunk: str, dtype: str) -> AbstractContextManager[None]:
        """Keeps a trunk's rows from being evicted or pruned while the context lasts."""
        return locks.shared(self._lock(trunk, dtype, "reading"))

    def filling(self, trunk: str, dtype: str, while_waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """Waits until nobody else fills a trunk, and then fills it alone, so that no row is computed twice."""
        return locks.awaited(self._lock(trunk, dtype, "filling"), while_waiting)

    def append(self, rows: TrunkRows, keys: np.ndarray, *values: np.ndarray) -> None:
        """Stores rows of a trunk, in pieces, after what is worth less has made room for them.

        Those that are there whole stay as they are: they were computed for the sake of another tensor of a cut.

        Raises:
            ExhaustedError: the budget is too small for them beside what running jobs read.
            OSError: the disk does not take them.
        """
        lacks = rows.lacks(keys)
        if not lacks.any():
            return
        if not lacks.all():
            keys, values = keys[lacks], (np.concatenate(values)[lacks],)
        size_bytes = segment_bytes(len(keys), rows.row_bytes)
        if self.budget_bytes is None:
            rows.append(keys, *values)
            return
        with locks.awaited(self.root / "locks" / "budget", lambda: None):  # what is free is given away once
            self._remove_unfinished()
            self._make_room(size_bytes, self.budget_bytes)
            rows.append(keys, *values)

    def trim(self) -> None:
        """Evicts what is more than the budget, which was larger once; not what a running job reads."""
        if self.budget_bytes is not None:
            with locks.awaited(self.root / "locks" / "budget", lambda: None), suppress(ExhaustedError):
                self._make_room(0, self.budget_bytes)

    def size_bytes(self) -> int:
        """Returns what all segments take on disk, in bytes."""
        total = 0
        for path in self.root.glob(f"*/*/{SEGMENTS}"):
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def note_use(self, rows: TrunkRows, hits: int, misses: int, seconds_per_row: float | None) -> None:
        """Writes down that a job found `hits` rows of a trunk and computed `misses` of them."""
        note_use(self._folder(rows.trunk, rows.dtype), hits, misses, seconds_per_row)

    def use_of(self, trunk: str, dtype: str) -> Use:
        """Returns how a trunk's rows were used so far."""
        return read_use(self._folder(trunk, dtype))

    def trunks(self) -> list[TrunkInfo]:
        """Returns what is stored, by digest and dtype."""
        return sorted(self._describe_all(), key=lambda info: (info.digest, info.dtype))

    def prune(self, chosen: Callable[[TrunkInfo], bool], *, dry_run: bool = False) -> Pruned:
        """Removes the rows of every trunk that is chosen, but for those that a running job reads."""
        row_count, size_bytes, in_use = 0, 0, 0
        for trunk in self.trunks():
            if not chosen(trunk):
                continue
            with locks.alone(self._lock(trunk.digest, trunk.dtype, "reading")) as free:
                if not free:
                    in_use += 1
                    continue
                row_count, size_bytes = row_count + trunk.row_count, size_bytes + trunk.size_bytes
                if not dry_run:
                    folder = self._folder(trunk.digest, trunk.dtype)
                    shutil.rmtree(folder, ignore_errors=True)
                    with suppress(OSError):  # rows of another dtype are there
                        folder.parent.rmdir()
        return Pruned(row_count, size_bytes, in_use)

    def _make_room(self, size_bytes: int, budget_bytes: int) -> None:
        """Evicts until `size_bytes` more fit into the budget; raises ExhaustedError where they cannot."""
        excess = self.size_bytes() + size_bytes - budget_bytes
        if excess <= 0:
            return
        for trunk in sorted(self.trunks(), key=lambda info: (info.value(), info.last_used)):
            with locks.alone(self._lock(trunk.digest, trunk.dtype, "reading")) as free:
                for path in sorted(self._folder(trunk.digest, trunk.dtype).glob(SEGMENTS)) if free else ():
                    with suppress(FileNotFoundError):
                        excess -= path.stat().st_size
                        path.unlink()
                    if excess <= 0:
                        return
        raise ExhaustedError(
            f"the budget of {budget_bytes} bytes for features is used up by running jobs", reason="FEATURE_BUDGET"
        )

    def _remove_unfinished(self) -> None:
        """Removes what processes that died in mid-write have left."""
        for path in self.root.glob("*/*/*.tmp"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _UNFINISHED_SECONDS:
                    path.unlink()

    def _describe_all(self) -> Iterator[TrunkInfo]:
        for folder in self.root.glob("[0-9a-f]" * 64 + "/*/"):
            row_count, size_bytes, newest = 0, 0, 0.0
            for path in folder.glob(SEGMENTS):
                with suppress(OSError):
                    status = path.stat()
                    size_bytes, newest = size_bytes + status.st_size, max(newest, status.st_mtime)
                    row_count += segment_row_count(path)
            use = read_use(folder)
            yield TrunkInfo(
                f"sha256:{folder.parent.name}",
                folder.name,
                row_count,
                size_bytes,
                read_shape(folder),
                use.hits,
                use.misses,
                use.last_used or datetime.fromtimestamp(newest or time.time(), UTC),
                use.seconds_per_row,
            )

    def _folder(self, trunk: str, dtype: str) -> Path:
        return self.root / trunk.removeprefix("sha256:") / dtype

    def _lock(self, trunk: str, dtype: str, name: str) -> Path:
        return self.root / "locks" / f"{trunk.removeprefix('sha256:')}-{dtype}.{name}"
