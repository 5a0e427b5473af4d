"""Recipes through a real server and its workers: what a shared layer allows, and what is refused at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from frostline_client import Client
from frostline_client.errors import InvalidError

TOP = [{"Dense": {"units": 2, "activation": "softmax", "name": "top"}}]
WIDE = [{"Dense": {"units": units}} for units in (20_000, 40_000, 10_000)]  # 3.2 GB of weights and 1.6 more


def twins(path: Path) -> Path:
    """Writes a Keras 2 file in which `twin` is called twice.

    x -> twin -> a --------> join -> out
    x -> b ----> twin ----/
    """
    calls = {
        "twin": [["x"], ["b"]],
        "a": [["twin"]],
        "b": [["x"]],
        "join": [["a", ("twin", 1)]],
        "out": [["join"]],
    }
    layers: list[Any] = [
        {"class_name": "InputLayer", "name": "x", "config": {"name": "x", "batch_input_shape": [None, 4]}}
        | {"inbound_nodes": []}
    ]
    for name, tensors in calls.items():
        nodes = [[[*((ref, 0) if isinstance(ref, str) else ref), 0, {}] for ref in refs] for refs in tensors]
        config = {"name": name, "trainable": True} | ({} if name == "join" else {"units": 4, "activation": "tanh"})
        kind = "Add" if name == "join" else "Dense"
        layers.append({"class_name": kind, "name": name, "config": config, "inbound_nodes": nodes})
    network = {"name": "n", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["out", 0, 0]]}
    chance = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.4.0"
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": network})
        for name in ("twin", "a", "b", "out"):
            group = file.create_group(f"model_weights/{name}")
            group.attrs["weight_names"] = [b"kernel:0", b"bias:0"]
            group["kernel:0"] = chance.normal(size=(4, 4)).astype(np.float32)
            group["bias:0"] = chance.normal(size=4).astype(np.float32)
    return path


@pytest.fixture(scope="module")
def zoo(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A zoo with the model `twins` and a dataset `quads` of forty rows of four numbers in two classes."""
    rows = np.random.default_rng(1).normal(size=(40, 4)).astype(np.float32)
    with Client(server.address) as zoo:
        zoo.models.import_file(twins(tmp_path_factory.mktemp("twins") / "twins.h5"), name="twins")
        zoo.datasets.push("quads", rows, (rows[:, 0] > 0).astype(np.int64))
        yield zoo


def recipe(name: str, freeze: Any, **changes: Any) -> dict[str, Any]:
    stages = [{"freeze": {"through": freeze}, "epochs": 1}]
    base = {"base": "twins", "reuse": {"through": "join"}, "head": TOP}
    return {"name": name, **base, "data": {"train": "quads"}, "stages": stages, **changes}


def test_a_cut_through_a_shared_layer_holds_where_all_its_calls_are_below(zoo: Client) -> None:
    stages = []
    for name in ("twin-child", "twin-child-again"):
        job = zoo.jobs.submit(recipe(name, ["a", "b"]))
        job.result(60)
        stages += job.stages
    assert [(stage.features.computed, stage.features.reused) for stage in stages] == [(40, 0), (0, 40)]
    before, after = ({layer.name: layer.blob for layer in zoo.models.layers(name)} for name in ("twins", "twin-child"))
    assert {name: after[name] for name in ("twin", "a", "b")} == {name: before[name] for name in ("twin", "a", "b")}


def test_a_cut_between_the_calls_of_a_shared_layer_is_refused(zoo: Client) -> None:
    before = zoo.jobs.list()
    with pytest.raises(InvalidError, match=r"'twin' would be frozen but is also used above the cut.*'b'"):
        zoo.jobs.submit(recipe("torn", "a"))
    assert zoo.jobs.list() == before


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        ({"head": [{"Dense": {"units": 2, "name": "twin"}}]}, "head[0]", "named 'twin', as another layer is"),
        ({"head": [{"Dense": {"units": 10_000_000_000}}]}, "head[0]", "too large, at most 4 GiB of weights are taken"),
        ({"head": [*WIDE, *TOP]}, "head[2]", "too large, at most 4 GiB of weights are taken"),
        ({"stages": [{"freeze": "none", "optimizer": "Adm"}]}, "stages[0].optimizer", "Adam"),
        ({"loss": "SparseCrossentropy"}, "loss", "SparseCategoricalCrossentropy"),
        ({"metrics": ["acuracy"]}, "metrics[0]", "SparseCategoricalAccuracy"),
        (
            {"data": {"train": "quads", "validation": {"fraction": 0.01}}},
            "data.validation.fraction is 0.01",
            "40 examples",
        ),
        (
            {"data": {"train": "quads", "validation": {"fraction": 0.99}}},
            "data.validation.fraction is 0.99",
            "40 examples",
        ),
    ],
)
def test_what_can_not_be_made_is_refused_by_its_key(zoo: Client, changes: dict[str, Any], key: str, said: str) -> None:
    before = zoo.jobs.list()
    with pytest.raises(InvalidError) as refused:
        zoo.jobs.submit(recipe("misspelt", ["a", "b"], **changes))
    message = refused.value.message
    assert (key in message, said in message, "\n" in message) == (True, True, False), message
    assert zoo.jobs.list() == before
