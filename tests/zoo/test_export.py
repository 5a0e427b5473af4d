"""Exports, each read back by its own framework."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.keras


@pytest.fixture(scope="module")
def network() -> Any:
    import keras

    from frostline_zoo.networks.build import build
    from frostline_zoo.networks.describe import describe

    layers = keras.layers
    inner = keras.Sequential(
        [keras.Input((8, 8, 2)), layers.Conv2D(3, 3, name="conv2d"), layers.BatchNormalization()], name="inner"
    )
    image = keras.Input((8, 8, 2), name="an.image")
    number = keras.Input((3,), name="number")
    pooled = layers.Concatenate()([layers.GlobalAveragePooling2D()(inner(image)), number])
    outputs = [layers.Dense(2, name="top")(pooled), layers.Dense(3, name="second.top")(pooled)]
    description = describe(keras.Model([image, number], outputs))
    return build(description.manifest, description.blobs.__getitem__)


@pytest.fixture(scope="module")
def inputs() -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(3, 8, 8, 2)).astype("float32"), rng.normal(size=(3, 3)).astype("float32")]


def test_plain_keras_loads_an_export_with_the_same_layers_and_outputs(
    network: Any, inputs: list[Any], tmp_path: Path
) -> None:
    import keras

    from frostline_zoo.networks.export import export_network

    export_network(network, "keras", tmp_path / "out.keras")
    loaded = keras.models.load_model(tmp_path / "out.keras")
    for made, expected in zip(loaded(inputs), network.model(inputs, training=False), strict=True):
        np.testing.assert_array_equal(made, expected)
    assert {layer.name for layer in loaded.layers} >= {layer.name for layer in network.manifest.layers}


def test_an_export_comes_back_as_the_same_network(network: Any, tmp_path: Path) -> None:
    from frostline_zoo.networks.export import export_network
    from frostline_zoo.networks.importer import import_network

    export_network(network, "keras", tmp_path / "out")
    assert import_network(tmp_path / "out").manifest == network.manifest


def test_tensorflow_serves_a_saved_model_by_the_names_of_inputs_and_layers(
    network: Any, inputs: list[Any], tmp_path: Path
) -> None:
    import tensorflow as tf

    from frostline_zoo.networks.export import export_network

    export_network(network, "saved_model", tmp_path / "served")
    serve = tf.saved_model.load(str(tmp_path / "served")).signatures["serving_default"]
    made = serve(an_image=tf.constant(inputs[0]), number=tf.constant(inputs[1]))
    expected = network.model(inputs, training=False)
    np.testing.assert_allclose(made["top"], expected[0], atol=1e-5)
    np.testing.assert_allclose(made["second.top"], expected[1], atol=1e-5)
    assert (tmp_path / "served/assets.extra/manifest.json").read_bytes() == network.manifest.encode()


def test_a_safetensors_file_holds_every_weight_by_layer_and_parameter_and_the_manifest(
    network: Any, tmp_path: Path
) -> None:
    import safetensors

    from frostline_zoo.networks.export import export_network

    export_network(network, "safetensors", tmp_path / "w.safetensors")
    with safetensors.safe_open(tmp_path / "w.safetensors", "numpy") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 the file is no dict
        manifest = json.loads(file.metadata()["frostline.manifest"])
    names = [f"{layer['name']}/{p['name']}" for layer in manifest["layers"] for p in layer["parameters"]]
    assert sorted(weights) == sorted(names)
    np.testing.assert_array_equal(weights["inner.conv2d/kernel"], network.layers["inner.conv2d"].kernel)


@pytest.mark.parametrize("format", ["keras", "saved_model", "safetensors"])
def test_an_export_leaves_nothing_but_what_was_asked_for(network: Any, tmp_path: Path, format: str) -> None:
    from frostline_zoo.networks.export import export_network

    export_network(network, format, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
