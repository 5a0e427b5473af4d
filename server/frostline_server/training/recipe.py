"""Recipes: what a train job is to do. docs/recipes.md describes every key for people.

A recipe comes in as JSON text. What can be told from the text alone is refused here, the key named and what is allowed
listed; what needs the zoo is refused in `check`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from frostline_server.training.named import Named
from frostline_server.training.place import Place, named_by
from frostline_server.training.reuse import Reuse
from frostline_zoo.errors import InvalidError
from frostline_zoo.names import checked_id, parse_dataset_reference, parse_model_reference
from frostline_zoo.preprocessing import Preprocessing

MAX_HEAD_LAYERS = 500
"""Python's stack ends after some more, and the workbench does one thing at a time."""

FEATURE_DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Data:
    """The examples: datasets by name. Validation is another dataset, or a fraction drawn from `seed`, or nothing."""

    train: str
    validation: str | None = None
    fraction: float | None = None
    seed: int = 0

    @classmethod
    def read(cls, place: Place) -> Data:
        """Reads `{train, validation}`."""
        fields = place.object("train", "validation")
        train = _dataset(place.required(fields, "train"))
        if "validation" not in fields or fields["validation"].value is None:
            return cls(train)
        validation = fields["validation"]
        if isinstance(validation.value, str):
            return cls(train, _dataset(validation))
        if not isinstance(validation.value, dict):
            validation.refuse("write a dataset's name, or {fraction: 0.2, seed: 7}")
        parts = validation.object("fraction", "seed")
        fraction = validation.required(parts, "fraction").number("write a number between 0 and 1", lambda x: 0 < x < 1)
        return cls(train, None, fraction, parts["seed"].integer(0, 2**32 - 1) if "seed" in parts else 0)


@dataclass(frozen=True)
class EarlyStopping:
    """Ends a stage when `monitor` has not been better by more than `min_delta` for `patience` epochs in a row."""

    patience: int = 10
    restore_best: bool = True
    min_delta: float = 0.0
    monitor: str | None = None

    @classmethod
    def read(cls, place: Place) -> EarlyStopping:
        """Reads `{patience, restore_best, min_delta, monitor}`."""
        fields = place.object("patience", "restore_best", "min_delta", "monitor")
        given: dict[str, Any] = {}
        if "patience" in fields:
            given["patience"] = fields["patience"].integer(0, 1_000_000)
        if "restore_best" in fields:
            given["restore_best"] = fields["restore_best"].truth()
        if "min_delta" in fields:
            given["min_delta"] = fields["min_delta"].number("write a number from 0 up", lambda x: x >= 0)
        if "monitor" in fields:
            given["monitor"] = fields["monitor"].text("write a metric's name, such as val_loss or val_accuracy")
        return cls(**given)


@dataclass(frozen=True)
class Stage:
    """One part of a recipe, with one cut and one optimizer.

    Attributes:
        freeze: the layers up to which everything is frozen; empty: nothing is; None: everything that is reused.
        batch_size: in examples.
        epochs: at the most.
    """

    freeze: tuple[str, ...] | None = None
    optimizer: Named = Named("Adam")
    batch_size: int = 32
    epochs: int = 10
    early_stopping: EarlyStopping | None = None

    @classmethod
    def read(cls, place: Place) -> Stage:
        """Reads `{freeze, optimizer, batch_size, epochs, early_stopping}`."""
        fields = place.object("freeze", "optimizer", "batch_size", "epochs", "early_stopping")
        given: dict[str, Any] = {}
        if "freeze" in fields:
            given["freeze"] = _freeze(fields["freeze"])
        if "optimizer" in fields:
            given["optimizer"] = Named.read(fields["optimizer"])
        if "batch_size" in fields:
            given["batch_size"] = fields["batch_size"].integer(1, 1 << 20)
        if "epochs" in fields:
            given["epochs"] = fields["epochs"].integer(1, 1_000_000)
        if "early_stopping" in fields and fields["early_stopping"].value is not None:
            given["early_stopping"] = EarlyStopping.read(fields["early_stopping"])
        return cls(**given)


@dataclass(frozen=True)
class Recipe:
    """What a train job is to do.

    Attributes:
        name: the model that the result becomes a version of.
        base: the model to start from, as NAME, NAME:TAG or NAME@VERSION; None trains from scratch.
        reuse: what is kept of the base, and what is changed in it.
        augment: random image layers put between the input and the first layer, from the bottom up.
        head: the layers put on top, from the bottom up.
        preprocessing: how examples become inputs, where there is no base to say so.
        loss, metrics: None: by the output layer and the labels.
        cached: whether features are stored; otherwise the trunk is computed again in every epoch.
        views: how many seeded augmentations of each example are stored; 0: the recipe does not say.
        dtype: what features are stored as.
    """

    name: str
    data: Data
    base: str | None = None
    reuse: Reuse = Reuse()
    augment: tuple[Named, ...] = ()
    head: tuple[Named, ...] = ()
    preprocessing: Preprocessing = Preprocessing()
    loss: Named | None = None
    metrics: tuple[Named, ...] | None = None
    seed: int = 0
    stages: tuple[Stage, ...] = (Stage(),)
    cached: bool = True
    views: int = 0
    dtype: str = "float32"

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """Reads JSON text.

        Raises:
            InvalidError: the text is not JSON, or not a recipe; the message names the key and lists what is allowed.
        """
        try:
            place = Place(json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_once_each))
            json.dumps(place.value, ensure_ascii=False).encode()  # a lone half of a surrogate pair is no text
        except (ValueError, RecursionError) as error:
            raise InvalidError("the recipe is not JSON text", reason="BAD_RECIPE") from error
        fields = place.object(
            *("name", "base", "reuse", "augment", "head", "data", "preprocessing"),
            *("loss", "metrics", "seed", "stages", "cache"),
        )
        fields = {key: part for key, part in fields.items() if part.value is not None}
        given: dict[str, Any] = {
            "name": checked_id(place.required(fields, "name").text("write the model that the result becomes"), "model"),
            "data": Data.read(place.required(fields, "data")),
        }
        if "base" in fields:
            given["base"] = fields["base"].text("write a model: NAME, NAME:TAG or NAME@VERSION")
            with named_by("base"):
                parse_model_reference(given["base"])
        if "reuse" in fields:
            given["reuse"] = Reuse.read(fields["reuse"])
        if "augment" in fields:
            layers = fields["augment"].items("write a list of layers, as in [{RandomFlip: {mode: horizontal}}]")
            given["augment"] = tuple(Named.read(layer) for layer in layers)
        if "head" in fields:
            layers = fields["head"].items("write a list of layers, as in [{Dense: {units: 5, activation: softmax}}]")
            if len(layers) > MAX_HEAD_LAYERS:
                text = f"recipe: head has {len(layers)} layers: write at most {MAX_HEAD_LAYERS}"
                raise InvalidError(text, reason="BAD_RECIPE", key="head")
            given["head"] = tuple(Named.read(layer) for layer in layers)
        if "preprocessing" in fields:
            given["preprocessing"] = Preprocessing.from_json(fields["preprocessing"].value)
        if "loss" in fields:
            given["loss"] = Named.read(fields["loss"])
        if "metrics" in fields:
            names = fields["metrics"].items("write a list of metrics, as in [accuracy]")
            given["metrics"] = tuple(Named.read(name) for name in names)
        if "seed" in fields:
            given["seed"] = fields["seed"].integer(0, 2**32 - 1)
        if "stages" in fields:
            stages = fields["stages"].items("write a list of at least one stage", minimum=1)
            given["stages"] = tuple(Stage.read(stage) for stage in stages)
        if "cache" in fields:
            given |= _cache(fields["cache"])
        _check_origin(place, fields)
        return cls(**given)


def _check_origin(place: Place, fields: dict[str, Place]) -> None:
    """What a base brings, and what goes without one, exclude each other."""
    if "base" in fields:
        if "preprocessing" in fields:
            fields["preprocessing"].refuse("leave it out: the base brings its own")
        return
    if "reuse" in fields:
        fields["reuse"].refuse("name the base whose layers are reused, or leave it out")
    if not fields.get("head", Place([])).value:
        raise InvalidError("recipe: head is missing: without a base it holds the whole network", reason="BAD_RECIPE")
    for stage in fields["stages"].items("") if "stages" in fields else []:
        if stage.value.get("freeze") not in (None, "none"):
            Place(stage.value["freeze"], f"{stage.path}.freeze").refuse("without a base there is nothing to freeze")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in pairs:
        if key in fields:
            raise InvalidError(f"recipe: {key} stands twice in one object: write it once", reason="BAD_RECIPE", key=key)
        fields[key] = value
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


def _dataset(place: Place) -> str:
    reference = place.text("write a dataset: NAME or NAME@VERSION")
    with named_by(place.path):
        parse_dataset_reference(reference)
    return reference


def _freeze(place: Place) -> tuple[str, ...] | None:
    if place.value is None:
        return None
    if place.value == "none":
        return ()
    if not isinstance(place.value, dict):
        place.refuse("write none, or {through: LAYER}")
    through = place.required(place.object("through"), "through")
    if isinstance(through.value, str):
        return (through.text("write a layer's name"),)
    return tuple(item.text("write a layer's name") for item in through.items("write a layer's name, or a list", 1))


def _cache(place: Place) -> dict[str, Any]:
    """Reads `false` or `{views, dtype}`."""
    if place.value is False:
        return {"cached": False}
    if not isinstance(place.value, dict):
        place.refuse("write false, or {views: 4, dtype: float32}")
    fields = place.object("views", "dtype")
    given: dict[str, Any] = {}
    if "views" in fields and fields["views"].value is not None:
        given["views"] = fields["views"].integer(1, 1000)
    if "dtype" in fields and fields["dtype"].value is not None:
        if fields["dtype"].value not in FEATURE_DTYPES:
            fields["dtype"].refuse(f"write one of {', '.join(FEATURE_DTYPES)}")
        given["dtype"] = fields["dtype"].value
    return given
