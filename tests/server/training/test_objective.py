"""What is minimised and reported: metrics by name, early stopping by their kind, optimizers as Keras has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from frostline_server.training.recipe import Recipe
from frostline_server.training.zoo import ZooAccess
from frostline_zoo.errors import InvalidError

Runs = Callable[..., Any]
ROWS = np.random.default_rng(1).normal(size=(48, 6)).astype(np.float32)
CLASSES = (ROWS.sum(1) > 0).astype(np.int64)
HEAD = [{"Dense": {"units": 4, "activation": "relu"}}, {"Dense": {"units": 1, "activation": "sigmoid"}}]
HALF = {"train": "rows", "validation": {"fraction": 0.5}}


@pytest.fixture
def rows(push_rows: Callable[..., None]) -> None:
    push_rows("rows", ROWS, CLASSES)


@pytest.mark.parametrize(
    ("metric", "monitor", "best"),
    [
        ({"BinaryAccuracy": {"name": "hits"}}, "val_hits", max),
        ({"AUC": {"name": "roc"}}, "val_roc", max),
        ({"MeanAbsoluteError": {"name": "acc"}}, "val_acc", min),
        ({"TruePositives": {"name": "tp"}}, "val_tp", max),
        ("FalseNegatives", "val_false_negatives", min),
    ],
)
def test_early_stopping_knows_a_metric_by_its_class(
    rows: None, run: Runs, metric: Any, monitor: str, best: Callable[..., float]
) -> None:
    rule = {"monitor": monitor, "patience": 30}
    stages = [{"epochs": 12, "optimizer": {"SGD": {"learning_rate": 0.3}}, "early_stopping": rule}]
    stage = run("stops", head=HEAD, data=HALF, metrics=[metric], stages=stages).stages[0]
    figures = stage.history[monitor]
    assert len(set(figures)) > 1
    assert stage.best_epoch == figures.index(best(figures))


def test_a_metric_without_a_name_has_its_class_s_in_every_stage_and_job(rows: None, run: Runs) -> None:
    stages = [{"epochs": 1}, {"epochs": 1, "batch_size": 7}]
    for name in ("first", "second"):
        outcome = run(name, head=HEAD, data=HALF, metrics=["AUC", "Precision", "accuracy"], stages=stages)
        for stage in outcome.stages:
            figures = ["loss", "auc", "precision", "accuracy"]
            assert list(stage.history) == [*figures, *(f"val_{figure}" for figure in figures)]


@pytest.mark.parametrize(
    ("metrics", "key"),
    [
        ([{"AUC": {"name": "loss"}}], r"metrics\[0\]"),
        (["accuracy", {"AUC": {"name": "accuracy"}}], r"metrics\[1\]"),
        (["AUC", {"Recall": {"name": "val_auc"}}], r"metrics\[1\]"),
    ],
)
def test_figures_that_would_hide_one_another_are_refused(rows: None, zoo: ZooAccess, metrics: Any, key: str) -> None:
    from frostline_server.training.prepare import prepare

    recipe = {"name": "child", "head": HEAD, "data": HALF, "metrics": metrics}
    with pytest.raises(InvalidError, match=f"{key}: there is a figure .* already"):
        prepare(Recipe.parse(json.dumps(recipe)), zoo)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"metrics": ["AUC"]}, r"metrics\[0\]: AUC does not give one number for labels of shape .* and an output of"),
        ({"metrics": ["accuracy", "CategoricalAccuracy"]}, r"metrics\[1\]: CategoricalAccuracy does not give one"),
        ({"loss": "CTC", "head": [{"Dense": {"units": 1}}]}, "loss: CTC does not fit labels of shape"),
        ({"loss": {"SparseCategoricalCrossentropy": {"reduction": "none"}}}, "loss: without a reduction"),
    ],
)
def test_what_cannot_be_computed_of_the_labels_is_refused_by_its_key(
    rows: None, zoo: ZooAccess, given: dict[str, Any], message: str
) -> None:
    from frostline_server.training.prepare import prepare

    head = [{"Dense": {"units": 3, "activation": "softmax"}}]
    with pytest.raises(InvalidError, match=message):
        prepare(Recipe.parse(json.dumps({"name": "child", "head": head, "data": HALF, **given})), zoo)


def test_a_score_over_classes_that_is_one_number_is_taken(push_rows: Callable[..., None], run: Runs) -> None:
    push_rows("one-hot", ROWS, np.eye(3, dtype=np.float32)[np.arange(len(ROWS)) % 3])
    head = [{"Dense": {"units": 3, "activation": "softmax"}}]
    metrics = [{"F1Score": {"average": "macro"}}, "AUC", "R2Score"]
    given = {"loss": "CategoricalCrossentropy", "metrics": metrics, "data": {"train": "one-hot"}}
    history = run("scored", head=head, stages=[{"epochs": 2}], **given).stages[0].history
    assert list(history) == ["loss", "f1_score", "auc", "r2_score"]


OPTIMIZERS: list[dict[str, Any]] = [
    {"SGD": {"learning_rate": 0.5, "use_ema": True, "ema_momentum": 0.9}},
    {"SGD": {"learning_rate": 0.5, "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 4}},
    {"SGD": {"learning_rate": 0.5, "loss_scale_factor": 8.0}},
    {"Adam": {"learning_rate": 1}},
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_optimizers_do_what_keras_does_with_them(
    rows: None, run: Runs, zoo: ZooAccess, add_network: Callable[[str, Any], None], optimizer: dict[str, Any]
) -> None:
    """All examples are one batch, so their order plays no part."""
    import keras

    from frostline_zoo.names import parse_model_reference
    from frostline_zoo.networks.build import build

    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1, "sigmoid")])
    add_network("start", model)
    stages = [{"epochs": 6, "batch_size": len(ROWS), "optimizer": optimizer, "freeze": "none"}]
    run("trained", base="start", data={"train": "rows"}, stages=stages)
    ((name, arguments),) = optimizer.items()
    made = getattr(keras.optimizers, name)(**{**arguments, "learning_rate": float(arguments["learning_rate"])})
    model.compile(made, keras.losses.BinaryCrossentropy())
    model.fit(ROWS, CLASSES[:, None], batch_size=len(ROWS), epochs=6, verbose=0)
    _, manifest = zoo.models.manifest_of(parse_model_reference("trained"))
    found = build(manifest, zoo.blobs.get).model.get_weights()
    for one, other in zip(found, model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_random_layers_without_kernels_in_xla_train_in_place(push_rows: Callable[..., None], run: Runs) -> None:
    images = np.random.default_rng(3).random((20, 8, 8, 3), np.float32)
    push_rows("images", images, np.arange(20) % 3)
    head: list[Any] = ["Flatten", {"Dense": {"units": 3, "activation": "softmax"}}]
    augment = [{"RandomRotation": {"factor": 0.1}}, {"RandomZoom": {"height_factor": 0.1}}]
    outcome = run("turned", augment=augment, head=head, data={"train": "images"}, cache=False, stages=[{"epochs": 2}])
    assert np.isfinite(outcome.metrics["loss"])


@pytest.mark.parametrize(
    ("optimizer", "key"),
    [
        ({"SGD": {"learning_rate": -0.1}}, "SGD.learning_rate is -0.1"),
        (
            {"SGD": {"learning_rate": {"CosineDecay": {"initial_learning_rate": -0.5, "decay_steps": 9}}}},
            "CosineDecay.initial_learning_rate is -0.5",
        ),
    ],
)
def test_a_rate_below_zero_is_refused(rows: None, zoo: ZooAccess, optimizer: Any, key: str) -> None:
    from frostline_server.training.prepare import prepare

    recipe = {"name": "child", "head": HEAD, "data": HALF, "stages": [{"optimizer": optimizer}]}
    with pytest.raises(InvalidError, match=f"{key}: write a number from 0 up"):
        prepare(Recipe.parse(json.dumps(recipe)), zoo)
