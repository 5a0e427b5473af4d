"""Recipes: read as they are meant, refused where they are not, with the key and what is allowed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from frostline_server.training.recipe import Recipe
from frostline_zoo.errors import InvalidError

MINIMAL = {"name": "five-to-nine", "base": "mnist", "data": {"train": "digits"}}


def parse(**changes: Any) -> Recipe:
    return Recipe.parse(json.dumps({**MINIMAL, **changes}))


def test_what_a_recipe_leaves_out_has_its_default() -> None:
    recipe = parse()
    assert recipe.cached
    assert len(recipe.stages) == 1
    assert recipe.stages[0].freeze is None
    assert recipe.stages[0].optimizer.name == "Adam"


def test_the_design_recipe_is_read_in_full() -> None:
    recipe = parse(
        reuse={"through": "h5"},
        head=[{"Dense": {"units": 5, "activation": "softmax"}}],
        data={"train": "digits", "validation": {"fraction": 0.2, "seed": 7}},
        seed=42,
        stages=[
            {
                "freeze": {"through": "h5"},
                "optimizer": {"Adam": {"learning_rate": 0.01}},
                "batch_size": 20,
                "epochs": 1000,
                "early_stopping": {"patience": 20, "restore_best": True},
            },
            {"freeze": {"through": ["h2", "h3"]}, "epochs": 20},
            {"freeze": "none"},
        ],
        cache={"views": 1},
    )
    assert (recipe.data.fraction, recipe.data.seed) == (0.2, 7)
    assert [stage.freeze for stage in recipe.stages] == [("h5",), ("h2", "h3"), ()]
    assert recipe.stages[0].early_stopping is not None
    assert recipe.stages[0].early_stopping.patience == 20


def test_augmentation_and_the_way_features_are_stored_are_read() -> None:
    recipe = parse(augment=["RandomFlip", {"RandomRotation": {"factor": 0.1}}], cache={"views": 8, "dtype": "float16"})
    assert [layer.name for layer in recipe.augment] == ["RandomFlip", "RandomRotation"]
    assert (recipe.cached, recipe.views, recipe.dtype) == (True, 8, "float16")
    assert (parse(cache=False).cached, parse(cache={}).views, parse().dtype) == (False, 0, "float32")


def test_surgery_is_read_in_full() -> None:
    reuse = parse(
        reuse={
            "through": ["h5", -2],
            "drop": ["dropout", 7],
            "replace": {"h1": {"Dense": {"units": 5}}, "-1": {"from": "other:prod"}},
            "insert": [{"after": "h3", "layer": {"from": "other@2", "layer": 4}}],
            "rename": {"h2": "low"},
            "input": {"shape": [64, None, 3], "resize": "area"},
        }
    ).reuse
    assert (reuse.through, reuse.drop, reuse.rename) == (("h5", -2), ("dropout", 7), (("h2", "low"),))
    assert [type(layer).__name__ for _, layer in reuse.replace] == ["Named", "Taken"]
    assert [(layer.model, layer.layer) for layer in reuse.taken()] == [("other:prod", None), ("other@2", 4)]
    assert reuse.input is not None
    assert (reuse.input.shape, reuse.input.resize) == ((64, None, 3), "area")
    assert (reuse.changes, parse(reuse={"through": 3}).reuse.changes, parse().reuse.changes) == (True, False, False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stagez": 1}, "stagez is unknown: use name, base, reuse"),
        ({"stages": [{"optimzer": "Adam"}]}, r"stages\[0\].optimzer is unknown: use freeze, optimizer, batch_size"),
        ({"stages": [{"freeze": "all"}]}, r'stages\[0\].freeze is "all": write none, or'),
        ({"stages": []}, "write a list of at least one stage"),
        ({"stages": [{"batch_size": 0}]}, r"stages\[0\].batch_size is 0: write an integer from 1"),
        ({"stages": [{"epochs": True}]}, r"stages\[0\].epochs is true: write an integer"),
        ({"data": {}}, "data.train is missing"),
        (
            {"data": {"train": "d", "validation": {"fraction": 2}}},
            "data.validation.fraction is 2: write a number between",
        ),
        ({"cache": {"views": 0}}, "cache.views is 0: write an integer from 1 to 1000"),
        ({"cache": {"dtype": "int8"}}, 'cache.dtype is "int8": write one of float32, float16, bfloat16'),
        ({"cache": True}, "cache is true: write false, or {views: 4, dtype: float32}"),
        ({"augment": {"RandomFlip": {}}}, "augment .*: write a list of layers"),
        ({"head": [{"Dense": {}, "Flatten": {}}]}, r"head\[0\] .*: write a Keras name"),
        ({"name": "Not A Name"}, "cannot name a model: use 1 to 63 of a-z"),
        ({"base": "a@b@c"}, "write NAME, NAME:TAG or NAME@VERSION"),
        ({"base": None}, "head is missing: without a base"),
        ({"preprocessing": {"scale": 2}}, "leave it out: the base brings its own"),
        ({"seed": -1}, "seed is -1: write an integer"),
        ({"reuse": {"thru": "h5"}}, "reuse.thru is unknown: use through, drop, replace, insert, rename, input"),
        ({"reuse": {"through": True}}, "reuse.through is true: write a layer's name, or its index"),
        ({"reuse": {"drop": "h5"}}, 'reuse.drop is "h5": write a list'),
        ({"reuse": {"replace": ["h5"]}}, "reuse.replace .*: write an object of layers"),
        ({"reuse": {"replace": {"h5": {"from": 3}}}}, "reuse.replace.h5.from is 3: write a model"),
        ({"reuse": {"insert": [{"layer": "Dropout"}]}}, r"reuse.insert\[0\].after is missing"),
        ({"reuse": {"insert": [{"after": 1, "layer": {"from": "m"}}]}}, r"insert\[0\].layer.layer is missing"),
        ({"reuse": {"input": {"shape": [0]}}}, r"reuse.input.shape\[0\] is 0: write an integer from 1"),
        ({"reuse": {"input": {"shape": [8], "resize": True}}}, "reuse.input.resize is true: write one of bilinear"),
        ({"head": ["Flatten"] * 501}, "head has 501 layers: write at most 500"),
        ({"base": None, "reuse": {"drop": [1]}, "head": ["Flatten"]}, "name the base whose layers are reused"),
    ],
)
def test_a_malformed_recipe_is_refused_by_the_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        Recipe.parse(json.dumps({key: value for key, value in {**MINIMAL, **changes}.items() if value is not None}))


@pytest.mark.parametrize(
    ("text", "key"), [('{"name": "a", "name": "b"}', "name"), ('{"data": {"train": "a", "train": "b"}}', "train")]
)
def test_a_key_that_stands_twice_is_refused(text: str, key: str) -> None:
    with pytest.raises(InvalidError, match=f"recipe: {key} stands twice in one object"):
        Recipe.parse(text)


def test_text_that_is_no_json_object_is_refused() -> None:
    for text in ("", "{", "[1]", "[" * 100_000):
        with pytest.raises(InvalidError):
            Recipe.parse(text)
