"""Export as .keras."""

from __future__ import annotations

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
    inner = keras.Sequential([keras.Input((8, 8, 2)), layers.Conv2D(3, 3), layers.BatchNormalization()], name="inner")
    image = keras.Input((8, 8, 2), name="image")
    description = describe(keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(inner(image)))))
    return build(description.manifest, description.blobs.__getitem__)


def test_plain_keras_loads_an_export_with_the_same_layers_and_outputs(network: Any, tmp_path: Path) -> None:
    import keras

    from frostline_zoo.networks.export import export_keras

    export_keras(network, tmp_path / "out.keras")
    loaded = keras.models.load_model(tmp_path / "out.keras")
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 2)).astype("float32")
    np.testing.assert_array_equal(loaded(x), network.model(x))
    assert [layer.name for layer in loaded.layers[1:]] == [layer.name for layer in network.manifest.layers]


def test_an_export_comes_back_as_the_same_network(network: Any, tmp_path: Path) -> None:
    from frostline_zoo.networks.export import export_keras
    from frostline_zoo.networks.importer import import_network

    export_keras(network, tmp_path / "out")
    assert import_network(tmp_path / "out").manifest == network.manifest


def test_an_export_leaves_nothing_but_its_file(network: Any, tmp_path: Path) -> None:
    from frostline_zoo.networks.export import export_keras

    export_keras(network, tmp_path / "out.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["out.keras"]
