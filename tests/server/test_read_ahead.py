"""Epochs read ahead: every slice holds the rows of its examples for as long as it is the training's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_server.features.features import CutTensor, Features
from frostline_server.features.segment import feature_keys
from frostline_server.features.sources import ExampleRows, Listener, Trunk
from frostline_server.features.store import FeatureStore

pytestmark = pytest.mark.keras

TRUNK, ROWS, WIDTH, BATCH_SIZE = f"sha256:{'5' * 64}", 330, 12, 4
RNG = np.random.default_rng(0)
EXAMPLES = RNG.random((ROWS, WIDTH)).astype(np.float32)


class Numbers(ExampleRows):
    digests = RNG.integers(0, 256, (ROWS, 32), np.uint8)
    row_bytes = EXAMPLES[0].nbytes

    def inputs(self, places: np.ndarray) -> np.ndarray:
        return EXAMPLES[places]


class Doubled(Trunk):
    batch_size = 16

    def forward(self, rows: list[np.ndarray], digests: np.ndarray, view: int) -> list[np.ndarray]:
        return [rows[0] * 2]


class Nobody(Listener):
    def filled(self, rows: int, computed: int) -> None: ...

    def note(self, text: str) -> None: ...


@pytest.fixture(params=[0, ROWS // 2, ROWS])
def features(tmp_path: Path, request: Any) -> Iterator[Features]:
    """Features of which some rows are stored, in segments in an order of their own."""
    store, order = FeatureStore(tmp_path), RNG.permutation(ROWS)[: request.param]
    trunk = store.open(TRUNK, (WIDTH,), "float32")
    for part in np.array_split(order, 7) if len(order) else ():
        store.append(trunk, feature_keys(Numbers.digests[part]), EXAMPLES[part] * 2)
    tensor = CutTensor("doubled", TRUNK, (WIDTH,), "float32", "float32")
    features = Features([tensor], Numbers(), None, Doubled, store, Nobody())
    yield features
    features.close()


def test_every_slice_of_an_epoch_holds_its_rows_until_the_next(
    features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    from frostline_server.training import stage

    monkeypatch.setattr(stage, "_SLICE_BYTES", 20 * WIDTH * 4)
    targets = np.arange(ROWS)
    ahead = stage.ReadAhead(features, targets, BATCH_SIZE)
    order, taken = RNG.integers(0, ROWS, ROWS), 0  # some examples more than once
    for epoch in range(2):
        taken, computed = 0, features.computed
        for part in ahead.slices(order, 0):
            wanted = order[taken : taken + len(part.order)]
            time.sleep(0.005)  # time for others to read into it
            assert (part.features[0][part.order] == EXAMPLES[wanted] * 2).all()
            assert (part.labels[part.order] == wanted).all()
            assert len(part.features[0]) == len(part.labels) == 20
            taken += len(part.order)
        assert taken == ROWS
        assert not epoch or features.computed == computed  # what the first epoch lacked, it has stored
