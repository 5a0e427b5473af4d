"""The features of some examples at one cut, wherever they are: in memory, in the store, or still to be computed.

    memory  ->  store  ->  computed from the features of the nearest cut below  ->  computed from the examples

What is not there, or not whole, is computed; so a row that is lost costs time and nothing else. Cuts stand on one
another: computing the rows of one reads those of the cut below, which computes and keeps what it lacks. Rows that no
cut has are computed by one program for all of them. So several cuts are filled by one pass over the examples.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_server.features.batches import put_through
from frostline_server.features.chunks import ChunkSize, chunk_size, chunks_of, in_flight
from frostline_server.features.cut_tensor import CutTensor
from frostline_server.features.equals import missing_once
from frostline_server.features.kept import KeptRows
from frostline_server.features.sources import ExampleRows, Listener, Trunk
from frostline_server.features.store import FeatureStore
from frostline_server.features.unsaved import Computed
from frostline_zoo.alignment import aligned

Array = npt.NDArray[Any]

_READ_BYTES = 16 << 20


class Features:
    """The features of some examples at one cut.

    Attributes:
        tensors: the cut's frontier.
        examples: what they are the features of.
        below: the features of the cut that these are computed from; None: the examples.
        kept: their rows in the store.
    """

    def __init__(
        self,
        tensors: Sequence[CutTensor],
        examples: ExampleRows,
        below: Features | None,
        make_trunk: Callable[[], Trunk] | None,
        store: FeatureStore | None,
        listener: Listener,
        make_joint: Callable[[], Trunk] | None = None,
    ) -> None:
        """Opens them; `close` lets go of the store.

        Args:
            tensors: the cut's frontier.
            examples: what they are the features of.
            below: the features of a lower cut; None: the trunk starts at the examples.
            make_trunk: gives what computes them, when it is needed; None: they are the inputs themselves.
            store: where rows are kept; None keeps none.
            listener: told how it goes.
            make_joint: gives what computes the tensors of this cut and of all below in one pass from the examples, the
                lowest first; None: each is computed from the one below.
        """
        self.tensors = tuple(tensors)
        self.examples = examples
        self._made = 0
        self._found = 0
        self._noted = 0
        self._asked = 0  # of the cut below
        self.below = below
        self._make_trunk = make_trunk
        self._make_joint = make_joint
        self._joint: Trunk | None = None
        self._listener = listener
        self.kept: KeptRows = KeptRows(self.tensors, examples, store, below.kept if below else None, listener)
        self._memory: dict[int, list[Array]] = {}
        self._changing = threading.Lock()
        self._ending: Future[None] | None = None

    def __len__(self) -> int:
        return len(self.examples.digests)

    @property
    def computed(self) -> int:
        """How many rows a trunk computed: here, or where rows are only rounded here, below."""
        if self._make_trunk is not None:
            return self._made
        return self.below.computed if self.below is not None else 0

    @property
    def reused(self) -> int:
        """How many rows were found; what an example is itself, is neither found nor computed."""
        rounded = self._made - self.computed if self._make_trunk is None and self.below is not None else 0
        return self._found + rounded

    @property
    def row_bytes(self) -> int:
        """The size of one row of all tensors, in bytes, as it is kept."""
        return sum(tensor.row_bytes for tensor in self.tensors)

    @property
    def varies(self) -> bool:
        """Whether the rows differ from view to view."""
        return any(tensor.varies for tensor in self.tensors)

    @property
    def is_rounded(self) -> bool:
        """Whether rows are kept with fewer bits than the trunk puts out."""
        return any(tensor.kept_dtype != tensor.dtype for tensor in self.tensors)

    @property
    def chunk_rows(self) -> int:
        """How many rows are computed at once."""
        return self._chunks.rows

    @cached_property
    def _chunks(self) -> ChunkSize:
        entering = self.below.row_bytes if self.below is not None else self.examples.row_bytes
        batch_size = self._trunk.batch_size if self._trunk is not None else None
        below = self.below._chunks if self.below is not None else None
        return chunk_size(batch_size, max(self.row_bytes, entering), below)

    def fill(self, views: Sequence[int], *, into_memory: bool) -> None:
        """Computes what is missing, and keeps it: in the store, and with `into_memory` in memory too.

        Where another process fills the same rows, its rows are waited for. Whatever the disk does, the rows are there
        afterwards where they are kept in memory, and computed again by `read` where they are not. Of rows in memory the
        last are written while they are used already; `close` waits for that.
        """
        views = list(views) if self.varies else [0]
        self._written()
        started, before = time.perf_counter(), self.computed
        with ExitStack() as locks:
            if self._lacks(views):
                for rows, store in self.kept.in_chain():
                    wait = store.filling(rows.trunk, rows.dtype, lambda: self._listener.filled(0, 0))
                    with suppress(OSError):  # a disk that takes no lock takes no rows either
                        locks.enter_context(wait)
                for rows, _ in self.kept.in_chain():
                    rows.refresh()
            try:
                for view in views:
                    self._fill_view(view, into_memory)
                    if self.below is not None and len(views) > 1:
                        self.flush()  # the next view finds rows below that are the same in all
            except BaseException:
                self.flush()
                self._note_use(0, None)  # what is flushed is there for the next, who finds it and computes it no more
                raise
            seconds, computed = time.perf_counter() - started, self.computed - before
            cost = seconds / computed if computed and computed >= self.chunk_rows // 4 else None
            end = partial(self._end_filling, locks.pop_all(), len(self) * len(views) - computed, cost)
        if into_memory:
            thread = ThreadPoolExecutor(1, thread_name_prefix="end-of-filling")
            self._ending = thread.submit(end)
            thread.shutdown(wait=False)
        else:
            end()

    def _end_filling(self, locks: ExitStack, hits: int, seconds_per_row: float | None) -> None:
        with locks:
            self.flush()
        self._note_use(hits, seconds_per_row)

    def _written(self) -> None:
        """Waits until all that was filled is written."""
        ending, self._ending = self._ending, None
        if ending is not None:
            ending.result()

    def read(self, places: Array, view: int = 0, *, exact: bool = False) -> list[Array]:
        """Returns the rows of the examples at `places`, one array a tensor: (k,) -> (k, *shape) each.

        Args:
            places: among the examples.
            view: which augmentation; 0 is the example itself.
            exact: in the trunk's own dtype, unrounded, which rounded rows in memory or in the store cannot give.
        """
        if exact and self.is_rounded:
            return self._compute(places, view)[1]
        view = view if self.varies else 0
        if view in self._memory:
            return [array[places] for array in self._memory[view]]
        if not self.kept.has_rows and len(places) <= self.chunk_rows:
            return self._compute(places, view)[0]
        out = self.room_for(len(places))
        self.read_into(out, places, view)
        return out

    def read_into(self, out: list[Array], places: Array, view: int = 0) -> int:
        """Reads rows from the store to `out`, which `room_for` has made; returns how many had to be computed.

        Whoever reads one time after the other gives the same arrays again: memory that is new costs a pass over it.
        """
        is_lost = ~self.kept.read(places, view, out)
        if not is_lost.any():
            return 0
        lost, copies, originals = missing_once(self.examples.digests[places], is_lost)
        for part in chunks_of(lost, self.chunk_rows):  # what enters the trunk may be far larger than the rows
            for array, computed in zip(out, self._compute(places[part], view)[0], strict=True):
                array[part] = computed
        for array in out:
            array[copies] = array[originals]
        return len(lost)

    def room_for(self, count: int) -> list[Array]:
        """Returns arrays for so many rows."""
        return [aligned((count, *tensor.shape), tensor.kept_dtype) for tensor in self.tensors]

    def in_memory(self, view: int = 0) -> list[Array]:
        """Returns all rows of a view that was filled into memory, one array a tensor: (n, *shape) each."""
        return self._memory[view if self.varies else 0]

    def flush(self) -> None:
        """Stores what was computed and is not stored yet, here and below."""
        self.kept.flush()
        if self.below is not None:
            self.below.flush()

    def forget(self) -> None:
        """Lets go of the rows in memory."""
        self._memory.clear()

    def close(self) -> None:
        """Lets go of memory and of the store, whose rows may be evicted from now on."""
        try:
            self._written()
        finally:
            self.forget()
            self.kept.close()

    def _lacks(self, views: Sequence[int]) -> bool:
        """Returns whether rows that are kept are missing, here or below."""
        if self.kept.has_rows and any(self.kept.lacks(None, view).any() for view in views):
            return True
        return self.below is not None and self.below._lacks(views)

    def _note_use(self, hits: int, seconds_per_row: float | None) -> None:
        """Notes what was found and computed here and below, where a row takes as long as one here at the most."""
        misses, self._noted = self.computed - self._noted, self.computed
        asked, self._asked = self._asked, 0
        self.kept.note_use(hits, misses, seconds_per_row)
        if self.below is not None:
            computed_below = self.below.computed - self.below._noted
            self.below._note_use(max(0, asked - computed_below), seconds_per_row)

    @cached_property
    def _trunk(self) -> Trunk | None:
        return self._make_trunk() if self._make_trunk is not None else None

    def _fill_view(self, view: int, into_memory: bool) -> None:
        lacks = self.kept.lacks(None, view)
        missing, copies, originals = missing_once(self.examples.digests, lacks)
        there = np.flatnonzero(~lacks)
        if into_memory:
            held = self._hold(view, there, missing)
            for array in held:
                array[copies] = array[originals]
            self._memory[view] = held
        else:
            self._found += len(there)
            self._listener.filled(len(there), 0)
            with self._in_flight(missing, view) as computing:
                for chunk, _ in computing:
                    self._listener.filled(len(chunk), self._counted(len(chunk)))
        if self._make_trunk is not None or self.below is not None:  # an input is neither computed nor found
            self._found += len(copies)
        self._listener.filled(len(copies), 0)

    def _hold(self, view: int, there: Array, missing: Array) -> list[Array]:
        """Reads rows and computes others, and returns room for all with these in their places."""
        held = self.room_for(len(self))
        with self._in_flight(missing, view) as computing:  # what is there is read meanwhile
            lost = self._hold_stored(view, there, held)
            for chunk, computed in computing:
                for array, rows in zip(held, computed, strict=True):
                    array[chunk] = rows
                self._listener.filled(len(chunk), self._counted(len(chunk)))
        self._found += len(there) - lost
        return held

    def _hold_stored(self, view: int, there: Array, held: list[Array]) -> int:
        """Reads rows that are stored to their places in `held`, and returns how many of them had to be computed."""
        lost, are_all = 0, len(there) == len(self)
        for chunk in chunks_of(there, max(1, _READ_BYTES // max(1, self.row_bytes))):
            rows = [array[chunk[0] : chunk[-1] + 1] for array in held] if are_all else self.room_for(len(chunk))
            computed = self.read_into(rows, chunk, view)
            if not are_all:
                for array, read in zip(held, rows, strict=True):
                    array[chunk] = read
            self._listener.filled(len(chunk), self._counted(computed))
            lost += computed
        return lost

    def _counted(self, rows: int) -> int:
        """Returns how many of some rows that were made are computed: what is an input, or only rounded, is not."""
        return rows if self._make_trunk is not None else 0

    def _in_flight(self, places: Array, view: int) -> AbstractContextManager[Iterator[tuple[Array, list[Array]]]]:
        """Gives chunks of places and their rows, computed. Few rows are cut up too, so that others are in flight."""
        chunks = self._chunks.cut(places) if len(places) else []
        return in_flight(chunks, lambda chunk: self._compute(chunk, view)[0])

    def _lacks_all(self, places: Array, view: int) -> bool:
        """Whether none of the rows are there, here or below."""
        own = view if self.varies else 0
        lacks = own not in self._memory and bool(self.kept.lacks(places, own).all())
        return lacks and (self.below is None or self.below._lacks_all(places, view))

    def _compute(self, places: Array, view: int) -> tuple[list[Array], list[Array]]:
        """Computes rows and keeps them; returns them as they are kept, and exact."""
        if self._make_joint is not None and self._lacks_all(places, view):
            with self._changing:  # several threads fill, and one of them makes it
                joint = self._joint = self._joint or self._make_joint()
            return self._keep(self._run(joint, [self.examples.inputs(places)], places, view), places, view)
        if self.below is None:
            below = [self.examples.inputs(places)]
        else:
            below = self.below.read(places, view, exact=True)
            with self._changing:
                self._asked += len(places)
        return self._keep(below if self._trunk is None else self._run(self._trunk, below, places, view), places, view)

    def _keep(self, computed: list[Array], places: Array, view: int) -> tuple[list[Array], list[Array]]:
        """Keeps what was computed, as `_compute` says: this cut's tensors, perhaps after those of the cuts below."""
        below, exact = computed[: -len(self.tensors)], computed[-len(self.tensors) :]
        if below and self.below is not None:
            self.below._keep(below, places, view)
        kept = [tensor.rounded(rows) for tensor, rows in zip(self.tensors, exact, strict=True)]
        with self._changing:
            self._made += len(places)
        if self.kept.is_written:
            self.kept.add(Computed(places, view, kept))
        return kept, exact

    def _run(self, trunk: Trunk, rows: list[Array], places: Array, view: int) -> list[Array]:
        # What is told may raise to stop: a batch of a large network takes seconds.
        return put_through(trunk, rows, self.examples.digests[places], view, lambda: self._listener.filled(0, 0))
