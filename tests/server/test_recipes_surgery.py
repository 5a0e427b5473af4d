"""Surgery through a real server: what is refused as it is submitted, and a job on layers of two models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from frostline_client import Client
from frostline_client.errors import InvalidError, NotFoundError

NAMES = ("low", "left", "right", "join", "top")


def network(path: Path, width: int) -> Path:
    """Writes a Keras 2 file: x (4) -> low (width) -> left -> join -> top, with right beside left."""
    calls = {"low": ["x"], "left": ["low"], "right": ["low"], "join": ["left", "right"], "top": ["join"]}
    layers: list[Any] = [
        {"class_name": "InputLayer", "name": "x", "config": {"name": "x", "batch_input_shape": [None, 4]}}
        | {"inbound_nodes": []}
    ]
    for name, feeds in calls.items():
        units = width if name != "top" else 2
        config = {"name": name, "trainable": True}
        config |= {} if name == "join" else {"units": units, "activation": "softmax"}
        nodes = [[[feed, 0, 0, {}] for feed in feeds]]
        kind = "Concatenate" if name == "join" else "Dense"
        layers.append({"class_name": kind, "name": name, "config": config, "inbound_nodes": nodes})
    graph = {"name": "n", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["top", 0, 0]]}
    shapes = {"low": (4, width), "left": (width, width), "right": (width, width), "top": (2 * width, 2)}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.4.0"
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": graph})
        for name, shape in shapes.items():
            group = file.create_group(f"model_weights/{name}")
            group.attrs["weight_names"] = [b"kernel:0", b"bias:0"]
            group["kernel:0"] = np.random.default_rng(width).normal(size=shape).astype(np.float32)
            group["bias:0"] = np.zeros(shape[1], np.float32)
    return path


@pytest.fixture(scope="module")
def zoo(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A zoo with the models `six` and `three`, so wide, and a dataset `fours` of forty rows in two classes."""
    folder = tmp_path_factory.mktemp("surgery")
    rows = np.random.default_rng(1).normal(size=(40, 4)).astype(np.float32)
    with Client(server.address) as zoo:
        for name, width in (("six", 6), ("three", 3)):
            zoo.models.import_file(network(folder / f"{name}.h5", width), name=name)
        zoo.datasets.push("fours", rows, (rows[:, 0] > 0).astype(np.int64))
        yield zoo


@pytest.mark.parametrize(
    ("reuse", "said"),
    [
        ({"drop": ["lfet"]}, "recipe: reuse.drop: the network has no layer 'lfet': did you mean left"),
        ({"through": 9}, "the network has 5 layers, and none at 9: write an index from -5 to 4"),
        ({"drop": ["join"]}, "'join' makes (12) of 'left' (6), 'right' (6), none of which could stand for it"),
        ({"drop": ["right", "join"]}, "'top' took (12), and does not fit on (6) from 'left'"),
        ({"replace": {"low": {"from": "three"}}}, "'left' took (6), and does not fit on (3) from 'low'"),
        ({"replace": {"top": {"from": "three"}}}, "'top' took (6), and does not fit on (12) from 'join'"),
        ({"replace": {"left": "Flatten", "1": "Flatten"}}, "reuse.replace names layer 'left' twice"),
        (
            {"replace": {"left": {"from": "three", "layer": "nope"}}},
            "recipe: reuse.replace.left.layer: the network has no layer 'nope'",
        ),
        (
            {"insert": [{"after": "left", "layer": {"from": "three", "layer": 9}}]},
            "recipe: reuse.insert[0].layer.layer: the network has",
        ),
        ({"replace": {"left": {"from": "a b"}}}, "recipe: reuse.replace.left.from: 'a b' does not name a model"),
        ({"replace": {"left": {"Dens": {}}}}, "reuse.replace.left: 'Dens' is not a known layer"),
        ({"replace": {"left": {"Dense": {"units": 6, "name": "l"}}}}, "leave it out, and use reuse.rename"),
        ({"drop": [0, 1, 2, 3, 4]}, "nothing is left of the network"),
        ({"drop": ["left"], "rename": {"left": "l"}}, "reuse.drop takes layer 'left' out, and something else"),
        ({"through": "left", "drop": ["right"]}, "reuse.drop names layer 'right', which is not among those reused"),
        ({"rename": {"left": "right"}}, "two layers would be named 'right'"),
        ({"rename": {"left": "a/b"}}, "'a/b' cannot name a layer"),
        ({"input": {"shape": [5]}}, "'low' took (4), and does not fit on (5) from 'x'"),
        ({"input": {"shape": [4, 4]}}, "the network's input is (4), and (4, 4) has another number of sides"),
        ({"input": {"shape": [5], "resize": "area"}}, "changes height and width, and cannot make (4) of (5)"),
        (
            {"insert": [{"after": "left", "layer": {"MaxPooling1D": {}}}]},
            "'max_pooling1d' is new, and does not fit on (6)",
        ),
    ],
)
def test_surgery_that_means_nothing_is_refused_as_it_is_submitted(zoo: Client, reuse: Any, said: str) -> None:
    before = zoo.jobs.list()
    with pytest.raises(InvalidError) as refused:
        zoo.train(name="refused", base="six", reuse=reuse, data="fours", freeze="none", epochs=1)
    message = refused.value.message
    assert (said in message, "\n" in message) == (True, False), message
    assert zoo.jobs.list() == before


def test_a_layer_of_a_model_that_is_not_there_is_refused(zoo: Client) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        zoo.train(name="refused", base="six", reuse={"replace": {"left": {"from": "nowhere"}}}, data="fours")


def test_a_job_puts_layers_of_two_models_together_and_keeps_to_the_versions_it_was_given(zoo: Client) -> None:
    reuse = {
        "through": "low",
        "replace": {"low": {"from": zoo.models.get("three")}},
        "insert": [{"after": "low", "layer": {"from": "three", "layer": 1}}],
    }
    job = zoo.train(name="both", base="six", reuse=reuse, head=[{"Dense": {"units": 2}}], data="fours", epochs=1)
    assert job.result(60)
    made, donor = ({layer.name: layer.blob for layer in zoo.models.layers(name)} for name in ("both", "three"))
    assert {name: made[name] for name in ("low", "left")} == {name: donor[name] for name in ("low", "left")}
    assert job.record().recipe["reuse"]["insert"][0]["layer"] == {"from": "three@1", "layer": 1}
