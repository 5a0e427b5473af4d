"""Where an example's content is: digest to shard and row.

The index is built from the shards themselves, in memory. A shard that is damaged or gone is left out of it: its
examples then count as missing, and pushing them again mends that.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine, select

from frostline_zoo.blobs.local import LocalBlobStore
from frostline_zoo.catalogue.database import reading
from frostline_zoo.catalogue.tables import shards as shards_table
from frostline_zoo.errors import CorruptError, NotFoundError
from frostline_zoo.examples.shards import Rows, Shard
from frostline_zoo.examples.spec import Digests, ExampleSpec

Keys = npt.NDArray[np.uint64]

MARKS_PER_EXAMPLE = 8
MAX_MARKS = 1 << 24


@dataclass(frozen=True)
class Places:
    """Where examples are.

    Attributes:
        shards: what `shard` counts in.
        shard: (n,); -1 where an example is not stored.
        row: (n,) within the shard.
    """

    shards: tuple[Shard, ...]
    shard: Rows
    row: Rows

    def missing(self) -> Rows:
        """Returns which of the examples are not stored, ascending."""
        return np.flatnonzero(self.shard < 0)

    def size_bytes(self) -> int:
        """Returns the size of the contents, each counted once."""
        total = 0
        for shard, chosen in self.by_shard(np.arange(len(self.shard))):
            is_used = np.zeros(len(shard), bool)
            is_used[self.row[chosen]] = True
            total += int(shard.sizes(np.flatnonzero(is_used)).sum())
        return total

    def by_shard(self, examples: Rows) -> list[tuple[Shard, Rows]]:
        """Returns each shard that holds some of `examples`, with the positions of those in `examples`."""
        order = np.argsort(self.shard[examples], kind="stable")
        numbers, starts = np.unique(self.shard[examples][order], return_index=True)
        groups = zip(numbers.tolist(), np.split(order, starts[1:]), strict=True)
        return [(self.shards[number], group) for number, group in groups if number >= 0]


class ExampleIndex:
    """Finds stored examples by digest, whatever dataset they are in. Threads may share one."""

    def __init__(self, engine: Engine, blobs: LocalBlobStore) -> None:
        self._engine = engine
        self._blobs = blobs
        self._lock = threading.Lock()
        self._last_id = 0
        self._absent: dict[str, ExampleSpec] = {}
        self._shards: tuple[Shard, ...] = ()
        self._keys: Keys = np.empty(0, np.uint64)  # ascending; equal ones side by side
        self._shard: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self._row: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self._marks: npt.NDArray[np.bool_] = np.zeros(1 << 16, bool)  # by a key's last bits: whether some key has them

    def refresh(self) -> None:
        """Takes in the shards that came since, from this process or another, and lets go of those that are gone."""
        with self._lock:
            with reading(self._engine) as connection:
                query = select(shards_table.c.id, shards_table.c.digest, shards_table.c.spec)
                rows = connection.execute(query.where(shards_table.c.id > self._last_id).order_by("id")).all()
            self._let_go()
            candidates = dict(self._absent)
            candidates.update((row.digest, ExampleSpec.parse(row.spec)) for row in rows)
            for digest, spec in candidates.items():
                try:
                    shard = Shard(self._blobs.local_path(digest), digest, spec)
                except (NotFoundError, CorruptError):
                    self._absent[digest] = spec
                else:
                    self._absent.pop(digest, None)
                    self._add(shard)
            if rows:
                self._last_id = rows[-1].id

    def locate(self, digests: Digests) -> Places:
        """Returns where the examples (n, 32) are, as far as `refresh` has seen."""
        with self._lock:
            shards, keys, shard_of, row_of = self._shards, self._keys, self._shard, self._row
        wanted = _keys(digests)
        shard, row = np.full(len(wanted), -1, np.int64), np.zeros(len(wanted), np.int64)
        at = np.searchsorted(keys, wanted)
        pending = np.arange(len(wanted))
        while True:  # once, but for examples whose first 64 bits are equal
            pending = pending[at[pending] < len(keys)]
            pending = pending[keys[at[pending]] == wanted[pending]]
            if not len(pending):
                return Places(shards, shard, row)
            found = Places(shards, shard_of[at[pending]].astype(np.int64), row_of[at[pending]].astype(np.int64))
            is_it = np.zeros(len(pending), bool)
            for candidate, chosen in found.by_shard(np.arange(len(pending))):
                is_it[chosen] = (candidate.digests[found.row[chosen]] == digests[pending[chosen]]).all(1)
            shard[pending[is_it]], row[pending[is_it]] = found.shard[is_it], found.row[is_it]
            pending = pending[~is_it]
            at[pending] += 1

    def missing(self, digests: Digests) -> Rows:
        """Returns which of the examples (n, 32) are not stored, ascending. Fast where most are not."""
        marks = self._marks
        known = marks[_keys(digests) & np.uint64(len(marks) - 1)]  # perhaps; the others are surely not
        if known.any():
            maybe = np.flatnonzero(known)
            known[maybe] = self.locate(digests[maybe]).shard >= 0
        return np.flatnonzero(~known)

    def _add(self, shard: Shard) -> None:
        keys = _keys(shard.digests)
        order = np.argsort(keys)
        at = np.searchsorted(self._keys, keys[order])
        self._keys = np.insert(self._keys, at, keys[order])
        self._shard = np.insert(self._shard, at, np.int32(len(self._shards)))
        self._row = np.insert(self._row, at, order.astype(np.int32))
        self._shards = (*self._shards, shard)
        self._mark(keys)

    def _mark(self, keys: Keys) -> None:
        if MARKS_PER_EXAMPLE * len(self._keys) > len(self._marks) < MAX_MARKS:
            self._marks = np.zeros(min(MAX_MARKS, 2 << (MARKS_PER_EXAMPLE * len(self._keys)).bit_length()), bool)
            keys = self._keys
        self._marks[keys & np.uint64(len(self._marks) - 1)] = True

    def _let_go(self) -> None:
        gone = [number for number, shard in enumerate(self._shards) if not self._blobs.has(shard.digest)]
        if not gone:
            return
        self._absent.update((self._shards[number].digest, self._shards[number].spec) for number in gone)
        stays = ~np.isin(self._shard, gone)
        numbers = np.cumsum([number not in gone for number in range(len(self._shards))], dtype=np.int32) - np.int32(1)
        self._keys, self._row = self._keys[stays], self._row[stays]
        self._shard = numbers[self._shard[stays]]
        self._shards = tuple(shard for number, shard in enumerate(self._shards) if number not in gone)


def _keys(digests: Digests) -> Keys:
    return np.ascontiguousarray(digests[:, :8]).view("<u8").reshape(-1)
