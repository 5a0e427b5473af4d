"""Features of a small frozen network without Keras: two dense layers, each a matrix product and a ReLU."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from frostline_server.features.cut_tensor import CutTensor
from frostline_server.features.features import Features
from frostline_server.features.sources import ExampleRows, Listener, Trunk
from frostline_server.features.store import FeatureStore

WIDTHS = (16, 12, 8)  # of the examples, at the low cut, at the high one
WEIGHTS = [np.random.default_rng(7).normal(size=pair).astype(np.float32) for pair in ((16, 12), (12, 8))]


class Numbers(ExampleRows):
    """Examples `first` to `last` of an endless series; counts what is read of them."""

    row_bytes = 4 * WIDTHS[0]

    def __init__(self, first: int, last: int) -> None:
        numbers = np.arange(first, last, dtype=np.uint64)
        self.digests = np.zeros((len(numbers), 32), np.uint8)
        self.digests[:, :8] = numbers[:, None].view(np.uint8)
        self.rows = np.sin(numbers[:, None] + np.arange(WIDTHS[0])).astype(np.float32)
        self.read_count = 0

    def inputs(self, places: np.ndarray) -> np.ndarray:
        self.read_count += len(places)
        return self.rows[places]


class Layers(Trunk):
    """Layers `first` to `last`; each batch takes `seconds`. A view adds its number to what it starts from.

    What `outputs` layers put out is given, or what the last one does. Counts the batches.
    """

    batch_size = 16

    def __init__(self, first: int, last: int, seconds: float, outputs: Sequence[int] = ()) -> None:
        self.batches = 0
        self._weights = WEIGHTS[first:last]
        self._starts_at_examples = first == 0
        self._seconds = seconds
        self._outputs = outputs or [last - first]

    def forward(self, rows: list[np.ndarray], digests: np.ndarray, view: int) -> list[np.ndarray]:
        time.sleep(self._seconds)
        self.batches += 1
        at = [rows[0] + np.float32(view if self._starts_at_examples else 0)]
        for weights in self._weights:
            at.append(np.maximum(at[-1] @ weights, 0))
        return [at[output] for output in self._outputs]


class Heard(Listener):
    """Keeps what it is told; stops the work where `stop` says so."""

    def __init__(self, stop: Callable[[], bool] = lambda: False) -> None:
        self.rows, self.computed, self.notes, self._stop = 0, 0, [], stop

    def filled(self, rows: int, computed: int) -> None:
        if self._stop():
            raise InterruptedError
        self.rows, self.computed = self.rows + rows, self.computed + computed

    def note(self, text: str) -> None:
        self.notes.append(text)


class Tower:
    """The features of some examples at the high cut, which may stand on those of the low cut."""

    def __init__(
        self,
        store: FeatureStore | None,
        examples: Numbers,
        stored: Sequence[int] = (2,),
        *,
        dtype: str = "float32",
        varies: bool = False,
        varies_below: bool | None = None,
        seconds: float = 0.0,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.examples, self.heard, self.levels = examples, Heard(stop), []
        self.parts: list[Layers] = []
        below, source = None, 0
        cuts = sorted({*stored, 2})
        self.joint = Layers(0, 2, seconds, cuts)
        for cut in cuts:
            digest = "sha256:" + f"{cut}{int(varies)}" * 32
            is_other = varies if cut == 2 or varies_below is None else varies_below
            tensor = CutTensor(f"h{cut}", digest, (WIDTHS[cut],), "float32", dtype, is_other)
            self.parts.append(Layers(source, cut, seconds))
            part, joint = self.parts[-1], (lambda: self.joint) if cut == 2 and len(cuts) > 1 else None
            below = Features([tensor], examples, below, lambda part=part: part, store, self.heard, joint)
            source = cut
            self.levels.append(below)
        self.top = self.levels[-1]

    def close(self) -> None:
        for level in self.levels:
            level.close()

    def all_rows(self, view: int = 0) -> np.ndarray:
        return self.top.read(np.arange(len(self.examples.digests)), view)[0]


@pytest.fixture
def numbers() -> Callable[[int, int], Numbers]:
    """Makes examples."""
    return Numbers


@pytest.fixture
def tower() -> Any:
    """Opens features: tower(store, examples, stored=(1, 2)) keeps those of both cuts."""
    towers: list[Tower] = []

    def opened(*given: Any, **keys: Any) -> Tower:
        towers.append(Tower(*given, **keys))
        return towers[-1]

    yield opened
    for each in towers:
        each.close()
