"""Recipes run on real small networks: what they train, what they compute, and what they leave alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_server.training.events import EpochEnded, Event, Filled
from frostline_server.training.recipe import Recipe
from frostline_server.training.zoo import ZooAccess
from frostline_zoo.errors import InvalidError

pytestmark = pytest.mark.keras
Digits = Callable[..., tuple[np.ndarray, np.ndarray]]
Runs = Callable[..., Any]
Bits = Callable[[str], dict[str, bytes]]

HEAD = [{"Dense": {"units": 5, "activation": "softmax", "name": "top"}}]
DEEP = [{"Dense": {"units": 12, "activation": "elu", "name": f"h{number}"}} for number in (1, 2, 3)] + HEAD
CONVOLUTIONAL = [
    {"Reshape": {"target_shape": [4, 4, 1], "name": "image"}},
    {"Conv2D": {"filters": 6, "kernel_size": 3, "padding": "same", "name": "conv"}},
    {"BatchNormalization": {"name": "norm"}},
    {"ReLU": {"name": "relu"}},
    {"Flatten": {"name": "flat"}},
    *HEAD,
]


@pytest.mark.parametrize(("network", "through"), [(DEEP, "h3"), (CONVOLUTIONAL, "flat")])
def test_cached_and_uncached_training_end_with_the_same_bits(
    digits: Digits, run: Runs, bits: Bits, network: list[Any], through: str
) -> None:
    """Law 3."""
    digits("digits")
    run("base", head=network, stages=[{"epochs": 2}])
    child = {"base": "base", "reuse": {"through": through}, "head": HEAD, "stages": [{"epochs": 4, "batch_size": 7}]}
    cached = run("cached", **child)
    uncached = run("uncached", cache=False, **child)
    again = run("again", **child)
    assert bits("cached") == bits("uncached")
    assert bits("cached") == bits("again")
    assert [outcome.stages[0].rows_computed for outcome in (cached, uncached, again)] == [100, 400, 0]
    assert again.stages[0].rows_reused == 100


def test_fine_tuning_never_changes_the_model_it_started_from(digits: Digits, run: Runs, bits: Bits) -> None:
    """Law 5."""
    digits("digits")
    base = run("base", head=DEEP, stages=[{"epochs": 1}]).manifest
    before = bits("base")
    child = run(
        "child", base="base", reuse={"through": "h3"}, head=HEAD, stages=[{"freeze": "none", "epochs": 2}]
    ).manifest
    assert bits("base") == before
    assert not set(base.blobs()) & set(child.blobs())


def test_untouched_layers_are_shared_with_the_parent(digits: Digits, run: Runs) -> None:
    digits("digits")
    base = run("base", head=DEEP, stages=[{"epochs": 1}]).manifest
    stages = [{"epochs": 1}, {"freeze": {"through": "h2"}, "epochs": 1}]
    child = run("child", base="base", head=HEAD, stages=stages).manifest
    shared = {layer.name for layer in child.layers if layer.blob in base.blobs()}
    assert shared == {"h1", "h2"}
    assert child.parent == base.digest
    assert {layer.name for layer in child.layers if layer.trainable} == {"h3", "top"}


def test_compiled_epochs_train_as_keras_does_step_by_step(digits: Digits, run: Runs, bits: Bits) -> None:
    """The independent reference: Keras's own `train_on_batch`, batch by batch in the same order."""
    import keras

    rows, labels = digits("digits")
    stage = {"epochs": 3, "batch_size": 32, "optimizer": {"Adam": {"learning_rate": 0.01}}}
    outcome = run("ours", head=[{"Dense": {"units": 8, "activation": "elu"}}, *HEAD], stages=[stage])
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(8, "elu"), keras.layers.Dense(5, "softmax")])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    for epoch in range(3):
        order = np.random.default_rng([3, 0, epoch]).permutation(100)
        for start in range(0, 100, 32):
            batch = order[start : start + 32]
            model.train_on_batch(rows[batch], labels[batch])
    ours = bits("ours")
    for name, expected in zip(
        ("dense/kernel", "dense/bias", "top/kernel", "top/bias"), model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(np.frombuffer(ours[name], np.float32), expected.ravel(), rtol=1e-4, atol=1e-5)
    assert outcome.stages[0].epochs_run == 3


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(digits: Digits, run: Runs, bits: Bits) -> None:
    from frostline_server.training.run import Cancelled

    digits("digits")
    run("base", head=DEEP, stages=[{"epochs": 1}])
    stopping = {"patience": 3, "restore_best": True}
    recipe = {
        "base": "base",
        "reuse": {"through": "h3"},
        "head": [{"Dropout": {"rate": 0.5}}, *HEAD],
        "data": {"train": "digits", "validation": {"fraction": 0.2}},
        "stages": [{"epochs": 4}, {"freeze": {"through": "h1"}, "epochs": 6, "early_stopping": stopping}],
    }
    whole = run("whole", **recipe)
    for at in (2, 6):
        seen: list[Event] = []
        name = f"stopped-{at}"
        with pytest.raises(Cancelled):
            run(name, on=seen.append, stop=lambda: count(seen) >= at, **recipe)  # noqa: B023
        resumed = run(name, **recipe)
        assert bits("whole") == bits(name)
        assert [stage.history for stage in resumed.stages] == [stage.history for stage in whole.stages]


def count(events: list[Event]) -> int:
    return sum(isinstance(event, EpochEnded) for event in events)


def test_progress_tells_how_many_rows_the_trunk_computed(digits: Digits, run: Runs) -> None:
    digits("digits", count=40)
    digits("more", count=60, seed=5)
    run("base", head=DEEP, stages=[{"epochs": 1}])
    told: list[Event] = []
    run(
        "child",
        base="base",
        head=HEAD,
        data={"train": "digits", "validation": "more"},
        stages=[{"epochs": 1}],
        on=told.append,
    )
    filled = [event for event in told if isinstance(event, Filled)]
    assert (filled[-1].done, filled[-1].total, filled[-1].computed) == (100, 100, 100)


def test_early_stopping_keeps_the_best_epochs_figures(digits: Digits, run: Runs) -> None:
    digits("digits", count=40)
    rule = {"patience": 2, "restore_best": True}
    outcome = run(
        "noisy",
        head=DEEP,
        data={"train": "digits", "validation": {"fraction": 0.5}},
        stages=[{"epochs": 60, "optimizer": {"SGD": {"learning_rate": 0.9}}, "early_stopping": rule}],
    )
    losses = outcome.stages[0].history["val_loss"]
    assert len(losses) < 60
    assert outcome.metrics["val_loss"] == min(losses) == losses[outcome.stages[0].best_epoch]


def test_inputs_are_not_counted_as_computed_and_rows_that_are_only_rounded_neither(digits: Digits, run: Runs) -> None:
    digits("digits")
    scratch = run("base", head=DEEP, stages=[{"epochs": 1}])
    assert [(stage.rows_computed, stage.rows_reused) for stage in scratch.stages] == [(0, 0)]
    exact = run("exact", base="base", head=HEAD, stages=[{"epochs": 1}]).stages[0]
    rounded = run("rounded", base="base", head=HEAD, stages=[{"epochs": 1}], cache={"dtype": "float16"}).stages[0]
    assert exact.rows_computed > 0
    assert (rounded.rows_computed, rounded.rows_reused) == (0, exact.rows_computed)


REFUSED = [
    ({"head": [{"Dens": {}}]}, r"head\[0\]: 'Dens' is not a known layer: did you mean Dense\? Use "),
    (
        {"head": [{"Dense": {"unit": 5}}]},
        r"head\[0\].Dense.unit is unknown: did you mean units\? It takes units, activation",
    ),
    ({"head": [{"Dense": {"units": True}}]}, r"head\[0\].Dense.units is true: write an integer from 1 up"),
    ({"head": [{"Dropout": {"rate": False}}]}, r"head\[0\].Dropout.rate is false: write a number from 0 to 1"),
    ({"head": [{"Dense": {"units": -1}}]}, r"head\[0\].Dense.units is -1: write an integer from 1 up"),
    ({"head": [{"Dense": {"units": 5, "activation": "softmx"}}]}, r"Dense.activation is \"softmx\": use celu"),
    (
        {"head": [{"Conv2D": {"filters": 2, "kernel_size": 3}}, *HEAD]},
        r"Conv2D does not fit on a tensor of shape \(12\)",
    ),
    (
        {"head": [{"Dense": {"units": 4, "bias_initializer": "Orthogonal"}}, *HEAD]},
        r"head\[0\]: an initializer of Dense cannot make weights of their shapes",
    ),
    ({"head": [{"Dense": {"units": 4, "activation": "glu"}}, *HEAD]}, "the activation 'glu' is not taken"),
    ({"head": [{"Softmax": {"axis": 5}}, *HEAD]}, r"head\[0\]: Softmax does not fit on a tensor of shape \(12\)"),
    ({"head": [{"AdaptiveMaxPooling2D": {"output_size": 1}}, *HEAD]}, r"head\[0\]: AdaptiveMaxPooling2D does not fit"),
    ({"head": [{"CenterCrop": {"height": 2, "width": 2}}, *HEAD]}, r"head\[0\]: CenterCrop does not fit"),
    ({"head": [{"Dropout": {"rate": 0.5, "noise_shape": [3]}}, *HEAD]}, r"head\[0\]: Dropout does not fit"),
    ({"head": [{"Lambda": {"function": "f"}}]}, "'Lambda' is not a known layer"),
    ({"head": [{"TimeDistributed": {"layer": "Dense"}}]}, "'TimeDistributed' is not a known layer"),
    ({"metrics": [{"MeanMetricWrapper": {"fn": "f"}}]}, "'MeanMetricWrapper' is not a known metric"),
    ({"stages": [{"optimizer": {"MultiOptimizer": {"optimizer_map": ["Adam"]}}}]}, "'MultiOptimizer' is not a known"),
    (
        {"head": [{"Dense": {"units": 4, "activation": "softmax"}}]},
        "recipe: data.train: labels of digits run up to 4, .* 4 units",
    ),
    ({"reuse": {"through": "h9"}}, "h9"),
    ({"stages": [{"freeze": {"through": "top"}}]}, "not a cut|nothing"),
    ({"stages": [{"optimizer": {"Adam": {"lr": 1}}}]}, r"stages\[0\].optimizer.Adam.lr is unknown: use learning_rate"),
    ({"stages": [{"optimizer": "Adm"}]}, r"'Adm' is not a known optimizer: did you mean Adam\? Use .*Nadam"),
    (
        {"data": {"train": "digits", "validation": {"fraction": 0.001}}},
        "data.validation.fraction is 0.001, .* leaves none on one side",
    ),
    ({"base": None, "head": [{"Conv1D": {"filters": 2, "kernel_size": 3}}]}, "does not fit on a tensor of shape"),
    ({"data": {"train": "wide"}}, "16"),
    ({"metrics": ["acuracy"]}, r"'acuracy' is not a known metric: did you mean Accuracy\? Use .*AUC"),
    ({"loss": "mean_squred"}, "'mean_squred' is not a known loss: use .*MeanSquaredError"),
    (
        {"stages": [{"early_stopping": {"monitor": "val_loss"}}]},
        r"stages\[0\].early_stopping.monitor .* use loss, accuracy",
    ),
    ({"head": [{"Reshape": {"target_shape": [3, 4]}}, *HEAD]}, r"puts out \(3, 5\) for each example"),
    ({"head": [{"Flatten": {}}], "loss": "mse"}, "not a cut|nothing above the cut has weights to train"),
]


def test_an_index_past_the_end_of_an_embedding_that_trains_is_said_in_words(digits: Digits, run: Runs) -> None:
    digits("digits")
    embedding = [{"Rescaling": {"scale": 100.0}}, {"Embedding": {"input_dim": 5, "output_dim": 3}}, "Flatten", *HEAD]
    with pytest.raises(InvalidError, match="such as an index past the end of an Embedding"):
        run("base", head=embedding)


def test_of_equal_inputs_none_is_found_or_computed(push_rows: Any, run: Runs) -> None:
    rows = np.random.default_rng(0).normal(size=(10, 16)).astype(np.float32)
    push_rows("digits", np.tile(rows, (10, 1)), np.tile(np.arange(10) % 5, 10))
    (scratch,) = run("base", head=DEEP, stages=[{"epochs": 1}]).stages
    assert (scratch.rows_computed, scratch.rows_reused) == (0, 0)
    (child,) = run("child", base="base", head=HEAD, stages=[{"epochs": 1}]).stages
    assert (child.rows_computed, child.rows_reused) == (10, 90)
    (rounded,) = run("rounded", base="base", head=HEAD, stages=[{"epochs": 1}], cache={"dtype": "float16"}).stages
    assert (rounded.rows_computed, rounded.rows_reused) == (0, 100)


def test_a_value_that_the_network_cannot_take_is_named_in_place_of_a_loss_that_is_no_number(
    push_rows: Any, add_network: Any, digits: Digits, run: Runs
) -> None:
    import keras

    digits("digits")
    run("base", head=DEEP)
    rows = np.zeros((40, 16))
    rows[17, 3] = 1e300
    push_rows("huge", rows, np.arange(40) % 5)
    with pytest.raises(InvalidError, match=r"row 17 holds a value that is too large for float32, the network's input"):
        run("child", base="base", data={"train": "huge"}, head=HEAD)
    add_network(
        "half", keras.Sequential([keras.Input((16,), dtype="float16"), keras.layers.Dense(4), keras.layers.Dense(5)])
    )
    whole = np.zeros((40, 16), np.int64)
    whole[3, 3] = 70_000
    push_rows("large", whole, np.arange(40) % 5)
    with pytest.raises(InvalidError, match=r"row 3 holds a value that is too large for float16"):
        run("child", base="half", data={"train": "large"}, head=HEAD)


def test_what_does_not_fit_is_refused_before_anything_runs(zoo: ZooAccess, digits: Digits, run: Runs) -> None:
    from frostline_server.training.prepare import prepare

    digits("digits")
    digits("wide", size=20)
    run("base", head=DEEP, stages=[{"epochs": 1}])
    for changes, message in REFUSED:
        recipe = {"name": "child", "base": "base", "head": HEAD, "data": {"train": "digits"}, **changes}
        text = json.dumps({key: value for key, value in recipe.items() if value is not None})
        with pytest.raises(InvalidError, match=message):
            prepare(Recipe.parse(text), zoo)


def test_a_checkpoint_of_another_start_is_not_gone_on_from(digits: Digits, run: Runs, bits: Bits) -> None:
    from frostline_server.training.run import Cancelled

    digits("digits")
    run("base", head=DEEP, stages=[{"epochs": 1}])
    child = {"base": "base", "head": HEAD, "stages": [{"epochs": 4}]}
    seen: list[Event] = []
    with pytest.raises(Cancelled):
        run("child", on=seen.append, stop=lambda: count(seen) >= 2, **child)
    run("base", base="base", head=HEAD, stages=[{"freeze": "none", "epochs": 1}])
    run("child", **child)
    run("clean", **child)
    assert bits("child") == bits("clean")


def test_stages_that_freeze_more_and_more_run_alike_a_second_time(digits: Digits, run: Runs, bits: Bits) -> None:
    """Kept programs are made of layers that a later stage has frozen."""
    digits("digits", count=40)
    run("base", head=DEEP, stages=[{"epochs": 1}])
    stages = [{"freeze": "none", "epochs": 1}, {"freeze": {"through": "h2"}, "epochs": 1}, {"epochs": 1}]
    run("first", base="base", head=HEAD, stages=stages)
    run("second", base="base", head=HEAD, stages=stages)
    assert bits("first") == bits("second")


def test_features_deleted_while_they_fill_cost_nothing_but_time(
    zoo: ZooAccess, digits: Digits, run: Runs, bits: Bits, tmp_path: Path
) -> None:
    """Law 4, under a running job."""
    digits("digits", count=40)
    run("base", head=DEEP, stages=[{"epochs": 1}])
    child = {"base": "base", "reuse": {"through": "h3"}, "head": HEAD, "stages": [{"epochs": 2}]}
    run("undisturbed", **child)
    folder = tmp_path / "data" / "features"
    for injury in ("deleted", "in the way"):
        shutil.rmtree(folder)
        if injury == "in the way":
            folder.write_text("no folder can be made here")
        run(injury.replace(" ", "-"), **child)
        assert bits(injury.replace(" ", "-")) == bits("undisturbed")
