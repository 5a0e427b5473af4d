"""Features are shared by what they are: whoever made them, for whatever dataset, head, labels, split or model name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_server.training.zoo import ZooAccess

pytestmark = pytest.mark.keras
Digits = Callable[..., tuple[np.ndarray, np.ndarray]]
Runs = Callable[..., Any]
Pushes = Callable[[str, np.ndarray, np.ndarray], None]

HEAD = [{"Dense": {"units": 5, "activation": "softmax", "name": "top"}}]
DEEP = [{"Dense": {"units": 12, "activation": "elu", "name": f"h{number}"}} for number in (1, 2, 3)] + HEAD
CHILD: dict[str, Any] = {"base": "base", "reuse": {"through": "h3"}, "head": HEAD, "stages": [{"epochs": 1}]}


def computed(outcome: Any) -> list[int]:
    return [stage.rows_computed for stage in outcome.stages]


def test_a_second_job_over_the_same_trunk_and_examples_computes_nothing(
    push_rows: Pushes, digits: Digits, run: Runs
) -> None:
    rows, labels = digits("digits", count=100)
    run("base", head=DEEP, stages=[{"epochs": 1}])
    assert computed(run("first", **CHILD)) == [100]

    wider = [{"Dense": {"units": 7, "activation": "relu"}}, *HEAD]
    assert computed(run("other-head", **{**CHILD, "head": wider})) == [0]

    push_rows("relabelled", rows, (labels + 1) % 5)
    assert computed(run("other-labels", **{**CHILD, "data": {"train": "relabelled"}})) == [0]

    split = {"train": "digits", "validation": {"fraction": 0.3, "seed": 1}}
    assert computed(run("other-split", **{**CHILD, "data": split})) == [0]

    fresh = np.random.default_rng(8).normal(size=(10, 16)).astype(np.float32)
    push_rows("overlapping", np.concatenate([fresh, rows[50:][::-1]]), np.concatenate([labels[:10], labels[50:]]))
    assert computed(run("other-dataset", **{**CHILD, "data": {"train": "overlapping"}})) == [10]

    # The child kept its parent's trunk, so its own children find their features there.
    assert computed(run("grandchild", **{**CHILD, "base": "first"})) == [0]


def test_a_changed_weight_computes_everything_again(digits: Digits, run: Runs) -> None:
    digits("digits", count=40)
    run("base", head=DEEP, stages=[{"epochs": 1}])
    run("first", **CHILD)
    run("base", base="base", head=HEAD, stages=[{"freeze": "none", "epochs": 1}])
    assert computed(run("second", **CHILD)) == [40]


def add(zoo: ZooAccess, name: str, network: Any) -> None:
    """Puts a described network into the zoo."""
    for content in network.blobs.values():
        zoo.blobs.put(content)
    with zoo.engine.begin() as connection:
        zoo.models.add_version(connection, name, network.manifest)


def test_another_model_that_shares_the_trunk_computes_nothing(
    zoo: ZooAccess, digits: Digits, run: Runs, tmp_path: Path
) -> None:
    import keras

    from frostline_zoo.networks.build import build
    from frostline_zoo.networks.importer import import_network

    digits("digits", count=100)
    base = build(run("base", head=DEEP, stages=[{"epochs": 1}]).manifest, zoo.blobs.get)
    assert computed(run("first", **CHILD)) == [100]

    renamed = [keras.layers.Dense(12, "elu", name=f"other{number}") for number in (1, 2, 3)]
    model = keras.Sequential([keras.Input((16,)), *renamed, keras.layers.Dense(9, name="other-head")])
    for number, layer in enumerate(renamed, 1):
        layer.set_weights(base.layers[f"h{number}"].get_weights())
    model.save(tmp_path / "renamed.keras")
    add(zoo, "renamed", import_network(tmp_path / "renamed.keras"))
    outcome = run("second", **{**CHILD, "base": "renamed", "reuse": {"through": "other3"}})
    assert (computed(outcome), outcome.stages[0].rows_reused) == ([0], 100)


def residual(zoo: ZooAccess) -> None:
    """Puts a network with a shortcut into the zoo: a cut inside its block has two tensors."""
    import keras

    from frostline_zoo.networks.describe import describe

    keras.utils.set_random_seed(1)
    inputs = keras.Input((16,), name="x")
    stem = keras.layers.Dense(8, "relu", name="stem")(inputs)
    inner = keras.layers.Dense(8, "relu", name="inner")(stem)
    outer = keras.layers.Dense(8, name="outer")(inner)
    joined = keras.layers.Add(name="joined")([stem, outer])
    add(zoo, "residual", describe(keras.Model(inputs, keras.layers.Dense(5, "softmax", name="old")(joined))))


def test_a_cut_with_several_tensors_trains_alike_with_and_without_the_cache(
    zoo: ZooAccess, digits: Digits, run: Runs, bits: Callable[[str], dict[str, bytes]]
) -> None:
    digits("digits", count=60)
    residual(zoo)
    child = {"base": "residual", "head": HEAD, "stages": [{"freeze": {"through": "inner"}, "epochs": 3}]}
    assert computed(run("cached", **child)) == [60]
    assert computed(run("again", **child)) == [0]
    run("uncached", cache=False, **child)
    assert bits("cached") == bits("again") == bits("uncached")
    assert len(zoo.features.trunks()) == 2  # the shortcut's tensor and the inner one
    assert {info.row_count for info in zoo.features.trunks()} == {60}
