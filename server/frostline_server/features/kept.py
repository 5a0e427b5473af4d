"""The rows of one cut in the store, as the features of some examples see them: found, read, written and held."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_server.features.cut_tensor import CutTensor
from frostline_server.features.rows import Found, TrunkRows
from frostline_server.features.segment import feature_keys
from frostline_server.features.sources import ExampleRows, Listener
from frostline_server.features.store import FeatureStore
from frostline_server.features.unsaved import Computed, Unsaved
from frostline_zoo.errors import CorruptError, ExhaustedError

Array = npt.NDArray[Any]

_VIEWS_FOUND = 8
_UNWRITABLE = "the disk does not take them; the job goes on"


class KeptRows:
    """Rows of a cut's tensors in the store. Threads may share one.

    Attributes:
        has_rows: whether some of the tensors may have rows in the store.
    """

    def __init__(
        self,
        tensors: Sequence[CutTensor],
        examples: ExampleRows,
        store: FeatureStore | None,
        below: KeptRows | None,
        listener: Listener,
    ) -> None:
        """Opens them, and keeps them from being evicted until `close`.

        Args:
            tensors: the cut's frontier; those without a digest are inputs, which are read from the examples.
            examples: what they are the rows of.
            store: where they are; None keeps none.
            below: the rows of the cut below, which stores the tensors that run past it.
            listener: told where the disk takes no more.
        """
        self._tensors = tensors
        self._examples = examples
        self._store = store
        self._listener = listener
        self._below = below
        kept_below = {(rows.trunk, rows.dtype): rows for rows, _ in below.in_chain()} if below else {}
        self._rows: list[TrunkRows | None] = [
            kept_below.get((tensor.digest, tensor.kept_dtype))
            or store.open(tensor.digest, tensor.shape, tensor.kept_dtype)
            if store and tensor.digest
            else None
            for tensor in tensors
        ]
        self._own = [rows is not None and (rows.trunk, rows.dtype) not in kept_below for rows in self._rows]
        self.has_rows = any(self._rows)
        self._found: dict[tuple[CutTensor, int], Found] = {}
        self._unsaved = Unsaved(self._write)
        self._holds = ExitStack()
        try:
            for rows in self._rows:
                if rows is not None and store is not None:
                    self._holds.enter_context(store.reading(rows.trunk, rows.dtype))
        except OSError:
            self._stop_writing(_UNWRITABLE)

    @property
    def is_written(self) -> bool:
        """Whether rows that are computed go to the store."""
        return self.has_rows and self._store is not None

    def in_chain(self) -> list[tuple[TrunkRows, FeatureStore]]:
        """Returns the rows of this cut and of those below it, each once, in one order for everybody."""
        found = {(rows.trunk, rows.dtype): (rows, self._store) for rows in self._rows if rows and self._store}
        for rows, store in self._below.in_chain() if self._below else ():
            found.setdefault((rows.trunk, rows.dtype), (rows, store))
        return [found[key] for key in sorted(found)]

    def lacks(self, places: Array | None, view: int) -> npt.NDArray[np.bool_]:
        """Returns which of the examples at `places` (k,) have no row of some tensor: (k,). None: of all examples."""
        there = np.full(len(self._examples.digests if places is None else places), self.has_rows)
        for tensor, rows in zip(self._tensors, self._rows, strict=True):
            if rows is not None:
                there &= self._find(rows, tensor, places, view).are_there
        return ~there

    def read(self, places: Array, view: int, out: list[Array]) -> npt.NDArray[np.bool_]:
        """Copies what the store holds whole into `out`; returns which of the rows (k,) are there then."""
        there = np.full(len(places), self.has_rows)
        for tensor, rows, array in zip(self._tensors, self._rows, out, strict=True):
            if rows is not None and there.any():
                there &= rows.read(self._find(rows, tensor, places, view), array)
        if there.any():
            for rows, array in zip(self._rows, out, strict=True):
                if rows is None:  # an input that the head uses too
                    array[there] = self._examples.inputs(places[there])
        return there

    def look_up(self, view: int) -> None:
        """Finds all rows of a view at once, for many reads of some of them."""
        for tensor, rows in zip(self._tensors, self._rows, strict=True):
            if rows is not None:
                self._find(rows, tensor, None, view)

    def add(self, computed: Computed) -> None:
        """Takes rows to be stored, soon or at the next `flush`."""
        self._unsaved.add(computed)

    def flush(self) -> None:
        """Stores what was added and is not stored yet."""
        self._unsaved.flush()

    def note_cost(self, seconds_per_row: float) -> None:
        """Notes what computing a row takes, where nobody has."""
        for rows in self._rows:
            store = self._store if seconds_per_row else None
            if rows is not None and store is not None and not store.use_of(rows.trunk, rows.dtype).seconds_per_row:
                store.note_use(rows, 0, 0, seconds_per_row)

    def note_use(self, hits: int, misses: int, seconds_per_row: float | None) -> None:
        """Notes how many rows were found and how many computed, and what one of these took."""
        for rows, is_own in zip(self._rows, self._own, strict=True):
            if rows is not None and self._store is not None and hits + misses:
                self._store.note_use(rows, hits, misses if is_own else 0, seconds_per_row)

    def close(self) -> None:
        """Lets go of the rows, which may be evicted from now on."""
        self._holds.close()

    def _write(self, computed: Sequence[Computed]) -> None:
        """Stores rows. A disk that does not take them ends storing, not the work."""
        if self._store is None:
            return
        try:
            for number, (tensor, rows) in enumerate(zip(self._tensors, self._rows, strict=True)):
                if rows is not None and self._own[number]:  # the cut below writes the others, one thread at a time
                    keys = np.concatenate([self._keys(tensor, each.places, each.view) for each in computed])
                    self._store.append(rows, keys, *(each.rows[number] for each in computed))
        except ExhaustedError as full:
            self._stop_writing(full.message)
        except (OSError, CorruptError):
            self._stop_writing(_UNWRITABLE)

    def _stop_writing(self, reason: str) -> None:
        self._store = None
        self._listener.note(f"features are not stored any more: {reason}")

    def _keys(self, tensor: CutTensor, places: Any, view: int) -> Array:
        return feature_keys(self._examples.digests[places], view if tensor.varies else 0)

    def _find(self, rows: TrunkRows, tensor: CutTensor, places: Array | None, view: int) -> Found:
        """Returns where rows are; where those of all examples are is known until one is stored."""
        known = (tensor, view if tensor.varies else 0)
        found = self._found.get(known)
        if found is not None and rows.is_newest(found):
            return found if places is None else found.at(places)
        found = rows.find(self._keys(tensor, slice(None) if places is None else places, view))
        if places is None:
            others = self._found if len(self._found) < _VIEWS_FOUND * len(self._tensors) else {}
            self._found = {**others, known: found}
        return found
