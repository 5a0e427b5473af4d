"""Where an example's content is: digest to shard and row.

The index is built from the shards themselves, in memory. A shard that is damaged or gone is left out of it: its
examples then count as missing, and pushing them again mends that.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Engine, select

from frostline_zoo.blobs.store import BlobStore
from frostline_zoo.catalogue.database import reading
from frostline_zoo.catalogue.tables import shards as shards_table
from frostline_zoo.errors import CorruptError, NotFoundError
from frostline_zoo.examples.digest_table import DigestTable, by_group
from frostline_zoo.examples.shards import Rows, Shard
from frostline_zoo.examples.spec import Digests, ExampleSpec


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
        return [(self.shards[number], places) for number, places in by_group(self.shard[examples]) if number >= 0]


class ExampleIndex:
    """Finds stored examples by digest, whatever dataset they are in. Threads may share one."""

    def __init__(self, engine: Engine, blobs: BlobStore) -> None:
        self._engine = engine
        self._blobs = blobs
        self._lock = threading.Lock()
        self._last_id = 0
        self._absent: dict[str, ExampleSpec] = {}
        self._known = _Known()

    def refresh(self) -> None:
        """Takes in the shards that came since, from this process or another, and lets go of those that are gone."""
        with self._lock:
            with reading(self._engine) as connection:
                query = select(shards_table.c.id, shards_table.c.digest, shards_table.c.spec)
                rows = connection.execute(query.where(shards_table.c.id > self._last_id).order_by("id")).all()
            self._let_go()
            candidates = dict(self._absent)
            candidates.update((row.digest, ExampleSpec.parse(row.spec)) for row in rows)
            found = []
            for digest, spec in candidates.items():
                try:
                    found.append(Shard(self._blobs.local_path(digest), digest, spec))
                except (NotFoundError, CorruptError):
                    self._absent[digest] = spec
                else:
                    self._absent.pop(digest, None)
            self._known.add(found)
            if rows:
                self._last_id = rows[-1].id

    def locate(self, digests: Digests) -> Places:
        """Returns where the examples (n, 32) are, as far as `refresh` has seen."""
        known = self._known
        shard, row = known.table.find(digests)
        return Places(tuple(known.shards), shard, row)

    def missing(self, digests: Digests) -> Rows:
        """Returns which of the examples (n, 32) are not stored, ascending."""
        return self._known.table.missing(digests)

    def _let_go(self) -> None:
        gone = {shard.digest: shard.spec for shard in self._known.shards if not shard.is_there()}
        if gone:
            self._absent |= gone
            known = _Known()
            known.add([shard for shard in self._known.shards if shard.digest not in gone])
            self._known = known


class _Known:
    """The shards there are, and the table that they are the groups of. Both only grow."""

    def __init__(self) -> None:
        self.shards: list[Shard] = []
        self.table = DigestTable()

    def add(self, shards: Sequence[Shard]) -> None:
        self.shards += shards  # first, so that no reader finds a group without its shard
        if shards:
            self.table.add([shard.digests for shard in shards])
