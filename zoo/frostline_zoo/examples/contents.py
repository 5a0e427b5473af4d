"""The contents of all examples: each stored once, in shards, whatever datasets list it."""

from __future__ import annotations

import numpy as np
from sqlalchemy import Engine, insert, select

from frostline_zoo.blobs.store import BlobStore
from frostline_zoo.catalogue.database import now
from frostline_zoo.catalogue.tables import shards
from frostline_zoo.errors import InvalidError
from frostline_zoo.examples.index import ExampleIndex, Places
from frostline_zoo.examples.intake import Batch, Intake
from frostline_zoo.examples.row_hasher import RowHasher
from frostline_zoo.examples.shards import SHARD_BYTES
from frostline_zoo.examples.spec import DIGEST_BYTES, Digests, ExampleSpec

MAX_DIGESTS_BYTES = 3 << 20


class Contents:
    """What examples hold, by digest. Threads may share one."""

    def __init__(self, engine: Engine, blobs: BlobStore, shard_bytes: int = SHARD_BYTES) -> None:
        self._engine = engine
        self._blobs = blobs
        self._shard_bytes = shard_bytes
        self._index = ExampleIndex(engine, blobs)
        self._hasher = RowHasher()

    def refresh(self) -> None:
        """Takes in what is stored by now, so that whoever looks for it next need not wait for that."""
        self._index.refresh()

    def locate(self, digests: Digests) -> Places:
        """Returns where the examples (n, 32) are stored."""
        self._index.refresh()
        return self._index.locate(digests)

    def missing(self, digests: bytes) -> list[int]:
        """Returns which of the examples are not stored, counted from 0, ascending.

        Raises:
            InvalidError: `digests` is not a sequence of 32-byte digests, or longer than 3 MiB.
        """
        if len(digests) % DIGEST_BYTES or len(digests) > MAX_DIGESTS_BYTES:
            message = f"{len(digests)} bytes are not digests: send 32 bytes each, at most 3 MiB in all"
            raise InvalidError(message, reason="BAD_DIGESTS")
        packed = np.frombuffer(digests, np.uint8).reshape(-1, DIGEST_BYTES)
        return [int(place) for place in self.locate(packed).missing()]

    def intake(self, spec: ExampleSpec) -> Intake:
        """Returns what sorts a stream of contents into batches, each to be kept with `keep`."""
        self._index.refresh()
        return Intake(spec, self._index, self._hasher, self._shard_bytes)

    def keep(self, batch: Batch) -> None:
        """Makes the contents of a batch durable: the shard's blob first, then the row that names it.

        Raises:
            ExhaustedError: the disk is full.
            UnavailableError: the disk has failed.
        """
        if not len(batch.new):
            return
        with self._blobs.stage() as staged:
            for piece in batch.shard():
                staged.append(piece)
            digest, size = staged.digest, staged.size
            self._blobs.put_staged(staged, digest)
        row = {"digest": digest, "spec": str(batch.spec), "example_count": len(batch.new), "size_bytes": size}
        with self._engine.begin() as connection:
            if connection.scalar(select(shards.c.id).where(shards.c.digest == digest)) is None:
                connection.execute(insert(shards).values(**row, created=now()))
