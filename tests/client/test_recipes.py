"""Recipes from files, and from the arguments of `train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_client import layers, optimizers, read_recipe
from frostline_client.errors import InvalidError
from frostline_client.recipes import build_recipe, to_json

DESIGN = """
name: mnist-5-9                        # the model that the result becomes
base: mnist-0-4
reuse: {through: h5}
head:
  - Dense: {units: 5, activation: softmax}
data: {train: digits-5-9, validation: {fraction: 0.2, seed: 7}}
seed: 42
stages:
  - freeze: {through: h5}
    optimizer: {Adam: {learning_rate: 0.01}}
    batch_size: 20
    epochs: 1000
    early_stopping: {patience: 20, restore_best: true}
  - freeze: none
    optimizer: {Adam: {learning_rate: 1e-3}}
    epochs: 20
cache: {views: 1}
"""


def read(folder: Path, text: str) -> dict[str, object]:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return read_recipe(path)


def test_the_file_and_the_arguments_of_train_say_the_same(tmp_path: Path) -> None:
    built = build_recipe(
        name="mnist-5-9",
        base="mnist-0-4",
        reuse="h5",
        head=[layers.Dense(5, activation="softmax")],
        data="digits-5-9",
        validation={"fraction": 0.2, "seed": 7},
        seed=42,
        stages=[
            {
                "freeze": "h5",
                "optimizer": optimizers.Adam(0.01),
                "batch_size": 20,
                "epochs": 1000,
                "early_stopping": {"patience": 20, "restore_best": True},
            },
            {"freeze": "none", "optimizer": optimizers.Adam(1e-3), "epochs": 20},
        ],
        cache={"views": 1},
    )
    assert read(tmp_path, DESIGN) == built


def test_arguments_of_a_single_stage_need_no_list() -> None:
    built = build_recipe(name="a", data="d", base="b", freeze=["h1", "h2"], epochs=3, validation=0.2)
    assert built == {
        "name": "a",
        "base": "b",
        "data": {"train": "d", "validation": {"fraction": 0.2}},
        "stages": [{"freeze": {"through": ["h1", "h2"]}, "epochs": 3}],
    }


def test_a_single_layer_needs_no_list() -> None:
    one = {"name": "x", "data": "d", "head": layers.Dense(4), "augment": layers.RandomFlip("horizontal")}
    assert build_recipe(**one) == build_recipe(**one | {"head": [one["head"]], "augment": [one["augment"]]})


def test_a_fraction_of_numpy_is_a_fraction() -> None:
    recipe = build_recipe(name="x", data="d", validation=np.float32(0.25))
    assert json.loads(to_json(recipe))["data"]["validation"] == {"fraction": 0.25}


def test_parts_of_a_single_stage_beside_stages_are_refused() -> None:
    with pytest.raises(InvalidError, match="epochs: put it into each of the stages"):
        build_recipe(name="a", data="d", stages=[{"epochs": 1}], epochs=3)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.5E+2", 150.0),
        (".5", 0.5),
        ("-7", -7),
        ("0", 0),
        ("12:30", "12:30"),
        ("no", "no"),
        ("2026-11-22", "2026-11-22"),
        ("010", "010"),
        ("1_000", "1_000"),
        ("nullable", "nullable"),
        ("~", None),
        ("true", True),
        ("-.inf", float("-inf")),
        (".infinite", ".infinite"),
    ],
)
def test_values_mean_what_they_look_like(tmp_path: Path, text: str, value: object) -> None:
    found = read(tmp_path, f"key: {text}")["key"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nname: b", "line 2, column 1: 'name' stands here twice"),
        ("a: {x: 1, y: 2, x: 3}", "line 1, column 17: 'x' stands here twice"),
        ("name: a\n  base: b", "line 2, column 7: mapping values are not allowed here"),
        ("a: [1, 2", "line 1, column 9: expected ',' or ']'"),
        ("a: !!python/object/apply:os.system ['true']", "line 1, column 4: could not determine a constructor"),
        ("- a", "not a recipe: write keys such as name"),
        ("", "not a recipe"),
        ("a: \x00", "characters that YAML does not allow"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_by_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidError) as refused:
        read(tmp_path, text)
    assert message in refused.value.message
    assert "\n" not in refused.value.message


def test_a_number_that_is_not_finite_is_found_by_its_key(tmp_path: Path) -> None:
    recipe = read(tmp_path, "stages: [{epochs: 1}, {optimizer: {Adam: {learning_rate: .inf, beta_1: .nan}}}]")
    with pytest.raises(InvalidError, match=r"recipe: stages\[1\].optimizer.Adam.learning_rate is inf: write a finite"):
        to_json(recipe)
    assert json.loads(to_json({"seed": 1, "head": [".inf"]})) == {"seed": 1, "head": [".inf"]}


def test_numbers_of_numpy_are_numbers_and_what_json_cannot_hold_is_named() -> None:
    head = [layers.Dense(np.int64(5), kernel_regularizer={"L2": {"l2": np.float64(0.5)}})]
    (dense,) = json.loads(to_json({"head": head}))["head"]
    assert dense == {"Dense": {"units": 5, "kernel_regularizer": {"L2": {"l2": 0.5}}}}
    with pytest.raises(InvalidError, match=r"recipe: head\[0\].Dense.activation is a function: write texts"):
        to_json({"head": [layers.Dense(5, activation=lambda x: x)]})


def test_a_recipe_that_is_nested_too_deep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="nested too deep"):
        read(tmp_path, "a: " + "[" * 5000)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "network.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n\xff")
    with pytest.raises(InvalidError, match="not a text file"):
        read_recipe(path)


def test_a_merged_part_may_be_overruled(tmp_path: Path) -> None:
    found = read(tmp_path, "stages:\n- &first {epochs: 1, batch_size: 2}\n- {<<: *first, epochs: 5}")
    assert found["stages"] == [{"epochs": 1, "batch_size": 2}, {"epochs": 5, "batch_size": 2}]


def test_reuse_is_a_layer_several_layers_or_surgery_with_models_by_their_names() -> None:
    def reuse(given: Any) -> Any:
        return build_recipe(name="n", data="d", reuse=given).get("reuse")

    class Version:
        name = "other@2"

    assert [reuse("h5"), reuse(-2), reuse(["h3", 4])] == [{"through": "h5"}, {"through": -2}, {"through": ["h3", 4]}]
    taken = {"from": Version(), "layer": "mid"}
    surgery = {"drop": ["h1"], "replace": {-1: layers.Dense(5), "h2": taken}, "insert": [{"after": 3, "layer": taken}]}
    named = {"from": "other@2", "layer": "mid"}
    assert reuse(surgery) == {
        "drop": ["h1"],
        "replace": {"-1": {"Dense": {"units": 5}}, "h2": named},
        "insert": [{"after": 3, "layer": named}],
    }


def test_a_recipe_that_no_message_holds_is_refused_by_its_size() -> None:
    with pytest.raises(InvalidError, match=r"recipe: it has 4,000,0\d\d bytes, 3,145,728 are taken"):
        to_json({"name": "x" * 4_000_000})
