"""Several cuts of one network, filled in one pass: by one program, with the rows that each cut has alone."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from frostline_server.features.store import FeatureStore
from frostline_server.training.recipe import Recipe
from frostline_server.training.zoo import ZooAccess
from frostline_zoo.graph import cut_through
from frostline_zoo.manifest import TensorRef

pytestmark = pytest.mark.keras

ROWS, SIDE = 70, 8
CUTS = ("act", "end", "pool")


@pytest.fixture
def network(add_network: Any, push_rows: Any) -> Any:
    """A network whose convolutions are normalized, and rows for it: c1 -> norm1 -> act -> c2 -> norm2 -> pool."""
    import keras

    keras.utils.set_random_seed(2)
    x = inputs = keras.Input((SIDE, SIDE, 3))
    for number, name in ((1, "act"), (2, "end")):
        x = keras.layers.Conv2D(6, 3, padding="same", name=f"c{number}")(x)
        x = keras.layers.ReLU(name=name)(keras.layers.BatchNormalization(name=f"norm{number}")(x))
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(inputs, keras.layers.Dense(5, name="top")(pooled))
    random = np.random.default_rng(4)
    for variable in model.variables:
        variable.assign(random.uniform(0.2, 1.0, variable.shape))
    add_network("base", model)
    rows = random.normal(size=(ROWS, SIDE, SIDE, 3)).astype(np.float32)
    push_rows("rows", rows, np.arange(ROWS) % 5)
    return model, rows


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tensors each run of a trunk gave."""
    from frostline_server.training.frozen import CompiledTrunk

    seen: list[int] = []
    forward = CompiledTrunk.forward

    def counted(self: Any, *given: Any) -> Any:
        found = forward(self, *given)
        seen.append(len(found))
        return found

    monkeypatch.setattr(CompiledTrunk, "forward", counted)
    return seen


@pytest.fixture
def prepared(zoo: ZooAccess, network: Any) -> Any:
    from frostline_server.training.prepare import prepare

    recipe = {"name": "child", "base": "base", "head": [{"Dense": {"units": 5}}], "data": {"train": "rows"}}
    return prepare(Recipe.parse(json.dumps({**recipe, "stages": [{"epochs": 1}]})), zoo)


@pytest.fixture
def frozen(prepared: Any) -> Any:
    from frostline_server.training.frozen import Frozen
    from frostline_server.training.programs import Programs

    return Frozen(prepared.network, Programs())


@pytest.fixture
def opened(zoo: ZooAccess, prepared: Any, frozen: Any) -> Callable[..., Any]:
    """Opens the features of all rows at cuts that stand on one another, "act+end" being one of two tensors."""
    from frostline_server.training.filling import StageListener
    from frostline_server.training.frozen import Level

    def open_features(names: tuple[str, ...], dtype: str = "float32") -> Any:
        levels = [Level(tuple(map(TensorRef, name.split("+"))), dtype, True) for name in names]
        listener = StageListener(0, lambda event: None, lambda: False)
        return frozen.features(prepared.train, levels, zoo.features, listener, with_views=False)

    return open_features


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_cuts_without_rows_are_filled_by_one_program(opened: Any, network: Any, outputs: list[int], dtype: str) -> None:
    import keras

    model, rows = network
    features = opened(CUTS, dtype)
    features.fill([0], into_memory=False)
    assert set(outputs) == {len(CUTS)}
    wanted = keras.Model(model.inputs, [model.get_layer(name).output for name in CUTS])(rows, training=False)
    level = features
    for tensor in reversed(wanted):
        assert level.computed == ROWS
        found = level.read(np.arange(ROWS))[0]
        np.testing.assert_allclose(found, tensor, rtol=1e-4 if dtype == "float32" else 2e-3, atol=1e-5)
        level = level.below


def test_a_cut_above_rows_that_are_there_is_computed_from_them(opened: Any, outputs: list[int]) -> None:
    opened(("act",)).fill([0], into_memory=False)
    alone = opened(("act", "pool"))
    outputs.clear()
    alone.fill([0], into_memory=False)
    assert set(outputs) == {1}
    assert (alone.computed, alone.below.computed) == (ROWS, 0)


def test_a_tensor_that_two_cuts_have_in_common_is_stored_once(
    opened: Any, frozen: Any, zoo: ZooAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: Counter[str] = Counter()
    append = FeatureStore.append

    def counted(self: Any, rows: Any, keys: Any, *values: Any) -> None:
        written[rows.trunk] += len(keys)
        append(self, rows, keys, *values)

    monkeypatch.setattr(FeatureStore, "append", counted)
    both = opened(("act", "act+end"))
    both.fill([0], into_memory=False)
    assert (both.computed, both.below.computed) == (ROWS, ROWS)
    assert not both.kept.lacks(None, 0).any()
    assert set(written.values()) == {ROWS}  # not even by the way
    assert [(info.row_count, info.misses) for info in zoo.features.trunks()] == [(ROWS, ROWS)] * 2


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("cuts", [("act+end",), ("act", "act+end")])
def test_a_tensor_that_another_job_stored_stays_as_it_is_and_is_mended_where_it_is_damaged(
    opened: Any, zoo: ZooAccess, dtype: str, cuts: tuple[str, ...]
) -> None:
    below = opened(("act",), dtype)
    below.fill([0], into_memory=False)
    (segment,) = zoo.features.root.rglob("*.safetensors")
    for _ in range(2):
        opened(cuts, dtype).fill([0], into_memory=False)
        assert [info.row_count for info in zoo.features.trunks()] == [ROWS, ROWS]
    with segment.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    for computed in (1, 0):
        features = opened(cuts, dtype)
        features.read(np.arange(ROWS))
        features.flush()
        assert features.computed == computed
    assert sorted(info.row_count for info in zoo.features.trunks()) == [ROWS, ROWS + 1]


def test_a_trunk_is_made_once_when_rows_first_go_through_it(
    frozen: Any, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from frostline_server.training import frozen as module

    made: list[Any] = []

    def folded(model: Any) -> Any:
        time.sleep(0.1)  # long enough for the others to come
        made.append(model)
        return model

    monkeypatch.setattr(module, "folded", folded)
    trunk = frozen.trunk((TensorRef("end"),))
    assert made == []
    rows = np.zeros((trunk.batch_size, SIDE, SIDE, 3), np.float32)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: trunk.forward([rows], np.zeros((len(rows), 32), np.uint8), 0), range(4)))
    assert len(made) == 1


def test_no_cut_stands_on_one_that_splits_a_normalization_from_its_layer(frozen: Any) -> None:
    split, norm, above = (cut_through(frozen.manifest, [name]) for name in ("c1", "norm1", "pool"))
    assert not frozen.reaches(split.frontier, above.frontier)
    assert not frozen.reaches(split.frontier, norm.frontier)
    assert frozen.reaches(norm.frontier, above.frontier)
    assert frozen.reaches(norm.frontier, cut_through(frozen.manifest, ["c2"]).frontier)


def test_a_stage_that_splits_a_normalization_from_its_layer_changes_no_other_stage(network: Any, run: Any) -> None:
    recipe: dict[str, Any] = {
        "base": "base",
        "reuse": {"through": "pool"},
        "head": [{"Dense": {"units": 5, "activation": "softmax", "name": "classes"}}],
        "data": {"train": "rows"},
        "stages": [{"freeze": {"through": through}, "epochs": 2} for through in ("pool", "c2")],
    }
    cached, again, in_place = run("cached", **recipe), run("again", **recipe), run("in-place", cache=False, **recipe)
    assert [stage.rows_computed for stage in cached.stages] == [ROWS, ROWS]
    digests = [[layer.digest for layer in each.manifest.layers] for each in (cached, again, in_place)]
    assert digests[0] == digests[1] == digests[2]
