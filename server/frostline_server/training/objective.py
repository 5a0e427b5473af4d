"""What training minimises and what it reports: the recipe's loss and metrics, or those that fit the labels."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from frostline_server.training.keras_names import make, snake_case
from frostline_server.training.named import Named
from frostline_server.training.recipe import Recipe
from frostline_zoo.errors import InvalidError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Objective:
    """A loss and metrics that fit a network's output and the labels, by their Keras names."""

    loss: Named
    metrics: tuple[Named, ...]

    def make_loss(self) -> keras.losses.Loss:
        """Returns a new loss."""
        return make("loss", self.loss)

    def make_metrics(self) -> list[keras.metrics.Metric]:
        """Returns new metrics, named as the recipe says, or by their classes."""
        return [_metric(metric) for metric in self.metrics]

    def check_fits(self, targets: Array, output_shape: tuple[int | None, ...]) -> None:
        """Checks on a few examples that the loss and the metrics can be computed.

        Args:
            targets: as `as_targets` returns them.
            output_shape: of what the network puts out for one example; where a side is free, nothing is checked.

        Raises:
            InvalidError: one of them cannot; the message names it.
        """
        sides = [side for side in output_shape if side]
        if len(sides) < len(output_shape):
            return
        labels = targets[:2]
        outputs = np.full((len(labels), *sides), 1 / sides[-1], np.float32)
        shapes = f"labels of shape {_shown(targets.shape[1:])} and an output of shape {_shown(output_shape)}"
        try:
            loss = self.make_loss()(labels, outputs)
        except Exception as error:  # Keras raises whatever it happens to
            text = f"recipe: loss: {self.loss.name} does not fit {shapes}: leave it out for one that does"
            raise InvalidError(text, reason="BAD_RECIPE", key="loss") from error
        if tuple(loss.shape):
            text = "recipe: loss: without a reduction it is many numbers, and training lowers one: leave reduction out"
            raise InvalidError(text, reason="BAD_RECIPE", key="loss")
        for metric, named in zip(self.make_metrics(), self.metrics, strict=True):
            try:
                if type(metric).__name__.startswith(_ONE_HOT) and labels.ndim != outputs.ndim:
                    raise ValueError(labels.shape)  # Keras takes the classes of all examples for one example's
                metric.update_state(labels, outputs)
                float(metric.result())
            except Exception as error:
                place = named.path or "metrics"
                text = f"recipe: {place}: {named.name} does not give one number for {shapes}: use another, or accuracy"
                raise InvalidError(text, reason="BAD_RECIPE", key=place) from error

    def rising(self) -> frozenset[str]:
        """Returns the names of the metrics that are better the higher they are; the loss is not."""
        return frozenset(metric.name for metric in self.make_metrics() if _rises(metric))


_ONE_HOT = ("Categorical", "OneHot")


def _metric(named: Named) -> keras.metrics.Metric:
    metric = make("metric", named)
    name = inspect.signature(type(metric)).parameters.get("name")
    if "name" in named.arguments or name is None or name.default is not None:
        return metric
    return make("metric", named, name=snake_case(type(metric).__name__))  # Keras would count what it has made: auc_7


def _rises(metric: keras.metrics.Metric) -> bool:
    is_count_of_hits = isinstance(metric, keras.metrics.TruePositives | keras.metrics.TrueNegatives)
    return is_count_of_hits or getattr(metric, "_direction", None) == "up"  # as Keras's EarlyStopping looks it up


def objective_of(recipe: Recipe, network: keras.Model) -> Objective:
    """Returns what the recipe minimises for a network's output; labels are checked by `as_targets`.

    Without a `loss`: cross-entropy for a softmax or sigmoid output, or for several plain outputs (as logits); mean
    squared error for one plain output.
    """
    units = network.outputs[0].shape[-1]
    activation = _last_activation(network)
    loss = recipe.loss
    if loss is None:
        if activation == "softmax":
            loss = Named("SparseCategoricalCrossentropy")
        elif activation == "sigmoid":
            loss = Named("BinaryCrossentropy")
        elif activation == "linear" and units > 1:
            loss = Named("SparseCategoricalCrossentropy", {"from_logits": True})
        else:
            loss = Named("MeanSquaredError")
    name = type(make("loss", loss)).__name__
    if recipe.metrics is not None:
        objective = Objective(loss, tuple(_accuracy(metric, name) for metric in recipe.metrics))
        _check_names(objective)
        return objective
    return Objective(
        loss, (_accuracy(Named("accuracy"), name),) if name in _ACCURACIES else (Named("MeanAbsoluteError"),)
    )


def _check_names(objective: Objective) -> None:
    """Refuses metrics whose figures would hide one another."""
    seen = {"loss"}
    for metric, named in zip(objective.make_metrics(), objective.metrics, strict=True):
        if metric.name in seen:
            text = f"recipe: {named.path}: there is a figure {metric.name!r} already: give the metric another name"
            raise InvalidError(text, reason="BAD_RECIPE", key=named.path)
        seen |= {metric.name, f"val_{metric.name}"}


_ACCURACIES = {
    "SparseCategoricalCrossentropy": "SparseCategoricalAccuracy",
    "CategoricalCrossentropy": "CategoricalAccuracy",
    "BinaryCrossentropy": "BinaryAccuracy",
}


def _accuracy(metric: Named, loss: str) -> Named:
    """Keras's `accuracy` is the one that goes with the loss, reported under that plain name."""
    if metric.name not in ("accuracy", "acc", "Accuracy"):
        return metric
    return Named(_ACCURACIES.get(loss, "Accuracy"), {"name": "accuracy", **metric.arguments}, metric.path)


def as_targets(labels: Array | None, objective: Objective, network: keras.Model, dataset: str) -> Array:
    """Returns the labels as the loss takes them.

    Raises:
        InvalidError: they do not fit the network's output; the message says how both look.
    """
    if labels is None:
        raise InvalidError(f"dataset {dataset} has no labels: push it with labels to train on it", reason="NO_LABELS")
    units = network.outputs[0].shape[-1]
    loss = type(objective.make_loss()).__name__
    if loss == "SparseCategoricalCrossentropy":
        if len(network.outputs[0].shape) != 2:
            shape = _shown(network.outputs[0].shape[1:])
            raise InvalidError(
                f"the network puts out {shape} for each example, and classes need one row of units: "
                "put a Flatten or GlobalAveragePooling2D layer into the head",
                reason="SHAPE_MISMATCH",
            )
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise InvalidError(f"the labels of {dataset} are not classes, and the loss is {loss}: name another loss")
        if len(labels) and int(labels.max()) >= units:
            raise InvalidError(
                f"labels of {dataset} run up to {int(labels.max())}, the network's output has {units} units: "
                f"it takes labels from 0 to {units - 1}",
                reason="LABEL_OUT_OF_RANGE",
            )
        return labels.astype(np.int32)
    targets = labels.astype(np.float32)
    if targets.ndim == 1:
        targets = targets[:, None]
    if loss == "BinaryCrossentropy" and len(targets) and not (targets.min() >= 0 and targets.max() <= 1):
        raise InvalidError(
            f"labels of {dataset} are not between 0 and 1, and the loss is {loss}", reason="LABEL_OUT_OF_RANGE"
        )
    expected = tuple(network.outputs[0].shape[1:])
    if targets.shape[1:] != expected:
        raise InvalidError(
            f"labels of {dataset} have the shape {_shown(targets.shape[1:])}, the network puts out {_shown(expected)}"
        )
    return targets


def _last_activation(network: keras.Model) -> str:
    config = network.outputs[0]._keras_history.operation.get_config()
    name = type(network.outputs[0]._keras_history.operation).__name__
    return "softmax" if name == "Softmax" else str(config.get("activation", "linear"))


def _shown(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("any" if side is None else str(side) for side in shape) + ")"
