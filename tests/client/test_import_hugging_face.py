"""Hugging Face folders through a real server: taken in, run, fine-tuned on a cached trunk, and thawed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from frostline_client import Client, layers, optimizers
from frostline_client.errors import InvalidError, NotFoundError
from tests.zoo.hugging_face_samples import given, members, unpacked, wanted, with_config

TOP = [layers.Dense(2, activation="softmax", name="top")]


def test_a_folder_is_taken_in_and_its_report_told(
    frostline: Callable[..., Result], zoo: Client, address: str, tmp_path: Path
) -> None:
    folder = unpacked("bert_pretraining", tmp_path)
    command = ("models", "import", folder, "--name", "pretrained", "--server", address)
    told = frostline(*command)
    assert told.exit_code == 0, told.output
    assert "parameters: 0 matched, 47 renamed" in told.output
    assert "note: the input is token ids, up to 24 of them; id 0 is padding, which nothing attends to" in told.output
    again = json.loads(frostline(*command, "--json", "--format", "huggingface").stdout)
    assert (again["new_blob_count"], again["report"]["unexpected"]) == (0, [])
    theirs = "bert.encoder.layer.0.attention.self.key.weight"
    assert [theirs, "encoder.layer.0.attention/kernel_1"] in again["report"]["renamed"]
    scores = zoo.predict("pretrained", given("bert_pretraining"), layer="cls.predictions.decoder")
    np.testing.assert_allclose(scores, wanted("bert_pretraining")[0], atol=1e-5)
    assert zoo.predict("pretrained", given("bert_pretraining")[:1, :4], layer="mask").shape == (1, 1, 4)


def test_images_are_preprocessed_as_the_folder_says_unless_told_otherwise(zoo: Client, tmp_path: Path) -> None:
    folder, x = unpacked("vit_classes", tmp_path), given("vit_classes")
    zoo.models.import_file(folder, "images")
    pixels = (x * 0.2 + [0.5, 0.4, 0.3]) * 255
    made = zoo.predict("images", pixels.astype(np.float32))
    np.testing.assert_allclose(made, wanted("vit_classes")[0], atol=1e-5)
    zoo.models.import_file(folder, "plain-images", preprocessing={"scale": 1.0})
    np.testing.assert_allclose(zoo.predict("plain-images", x), wanted("vit_classes")[0], atol=1e-5)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            with_config(members("bert"), model_type="llama"),
            "'llama' is not taken in: known are bert, distilbert, roberta",
        ),
        (
            with_config(members("bert"), hidden_size=32),
            r"has the shape \(40, 16\), where config.json asks for \(40, 32\)",
        ),
        (
            {"config.json": members("bert")["config.json"], "pytorch_model.bin": b"\x80\x02."},
            "save them as safetensors",
        ),
    ],
)
def test_what_cannot_be_taken_in_is_refused_and_leaves_nothing(
    zoo: Client, tmp_path: Path, files: dict[str, bytes], told: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidError, match=told):
        zoo.models.import_file(tmp_path, "refused")
    with pytest.raises(NotFoundError):
        zoo.models.get("refused")


def examples(name: str) -> tuple[Any, Any]:
    """Returns twelve examples of two classes that differ: in the first word, or in how bright they are."""
    labels, chance = np.arange(12) % 2, np.random.default_rng(3)
    if name.startswith("bert"):
        ids = chance.integers(3, 40, (12, 10)).astype(np.int32)
        ids[:, 0], ids[::3, 7:] = 5 + labels, 0
        return ids, labels
    return chance.uniform(0, 100, (12, 24, 16, 3)).astype(np.float32) + 120 * labels[:, None, None, None], labels


def test_a_head_on_the_first_place_trains_on_texts_of_any_length_and_thaws_where_the_recipe_has_one(
    zoo: Client, tmp_path: Path
) -> None:
    base = zoo.models.import_file(unpacked("bert", tmp_path), "base-free").version
    data = zoo.datasets.push("data-free", *examples("bert"))
    reuse = {"through": "pooler.activation"}
    keys: dict[str, Any] = {"name": "free", "base": base, "reuse": reuse, "head": TOP, "data": data, "epochs": 2}
    made = zoo.train(**keys).result()
    texts = examples("bert")[0]
    assert zoo.predict(made, texts).shape == zoo.predict(made, texts[:, :4]).shape == (12, 2)
    with pytest.raises(InvalidError, match=r"or give the input a size in reuse\.input"):
        zoo.train(**keys, freeze="none")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "through", "lower", "reuse"),
    [
        ("bert", "pooler.activation", "encoder.layer.0.output.LayerNorm", {"input": {"shape": [10]}}),
        ("vit_classes", "classifier.first_place", "encoder.layer.0.sum", {}),
    ],
)
def test_a_head_trains_on_a_cached_trunk_which_then_thaws(
    zoo: Client, tmp_path: Path, name: str, through: str, lower: str, reuse: dict[str, Any]
) -> None:
    base = zoo.models.import_file(unpacked(name, tmp_path), f"base-{name}").version
    data = zoo.datasets.push(f"data-{name}", *examples(name))
    frozen = {"freeze": through, "optimizer": optimizers.Adam(0.01), "epochs": 8}
    keys: dict[str, Any] = {"base": base, "reuse": {"through": through, **reuse}, "head": TOP, "data": data, "seed": 4}
    first = zoo.train(name=f"top-{name}", stages=[frozen], **keys)
    made = first.result()
    assert [stage.features.computed for stage in first.stages] == [12]
    loss = first.stages[0].history["loss"]
    assert loss[-1] < loss[0]
    assert {row.status for row in zoo.models.diff(base, made) if row.b and row.b.name != "top"} == {"shared"}

    thaws = [frozen, *({"freeze": cut, "optimizer": optimizers.Adam(0.001), "epochs": 6} for cut in (lower, "none"))]
    second = zoo.train(name=f"thawed-{name}", stages=thaws, **keys)
    thawed = second.result()
    kept, upper, all_of_it = second.stages
    assert (kept.features.computed, kept.features.reused > 0) == (0, True)
    assert upper.features.computed <= 12
    for stage in (upper, all_of_it):
        assert stage.history["loss"][-1] < stage.history["loss"][0]
    changed = {row.b.name for row in zoo.models.diff(base, thawed) if row.b and row.status == "changed"}
    assert {"encoder.layer.0.attention", "encoder.layer.1.attention"} <= changed
    assert any(layer.startswith("embeddings.position_embeddings") for layer in changed)
