"""Operations in Keras 3's files, such as `x + y`: taken in as built-in layers that compute the same, or refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_zoo.errors import InvalidError

pytestmark = pytest.mark.keras

Graph = Callable[[Any, Any], Any]


def saved(path: Path, graph: Graph) -> Path:
    """Saves a network that does something with its input and a dense layer's output, both of shape (4, 6)."""
    import keras

    entry = keras.Input((4, 6))
    made = graph(entry, keras.layers.Dense(6, name="low")(entry))
    keras.Model(entry, keras.layers.Dense(2, name="top")(made)).save(path / "x.keras")
    return path / "x.keras"


def refusal(path: Path) -> InvalidError:
    from frostline_zoo.networks.importer import import_network

    with pytest.raises(InvalidError) as refused:
        import_network(path)
    assert "\n" not in refused.value.message
    return refused.value


def ops() -> Any:
    import keras

    return keras.ops


TAKEN: dict[str, tuple[Graph, str]] = {
    "x + y": (lambda x, y: x + y, "Add"),
    "x - y": (lambda x, y: x - y, "Subtract"),
    "x * y": (lambda x, y: x * y, "Multiply"),
    "y * y": (lambda x, y: y * y, "Multiply"),
    "maximum": (lambda x, y: ops().maximum(x, y), "Maximum"),
    "minimum": (lambda x, y: ops().minimum(x, y), "Minimum"),
    "x * 2": (lambda x, y: y * 2, "Rescaling"),
    "2 * x": (lambda x, y: 2 * y, "Rescaling"),
    "x + 1.5": (lambda x, y: y + 1.5, "Rescaling"),
    "x - 1.5": (lambda x, y: y - 1.5, "Rescaling"),
    "1.5 - x": (lambda x, y: 1.5 - y, "Rescaling"),
    "x / 3": (lambda x, y: y / 3, "Rescaling"),
    "-x": (lambda x, y: -y, "Rescaling"),
    "maximum with 0": (lambda x, y: ops().maximum(y, 0.0), "ReLU"),
    "concatenate": (lambda x, y: ops().concatenate([x, y], axis=-1), "Concatenate"),
    "concatenate places": (lambda x, y: ops().concatenate([x, y, x], axis=1), "Concatenate"),
    "reshape": (lambda x, y: ops().reshape(y, (-1, 2, 3, 4)), "Reshape"),
    "transpose": (lambda x, y: ops().transpose(y, (0, 2, 1)), "Permute"),
    "relu": (lambda x, y: ops().relu(y), "Activation"),
    "sigmoid": (lambda x, y: ops().sigmoid(y), "Activation"),
    "silu": (lambda x, y: ops().silu(y), "Activation"),
    "softmax": (lambda x, y: ops().softmax(y, axis=1), "Softmax"),
    "leaky_relu": (lambda x, y: ops().leaky_relu(y, 0.3), "LeakyReLU"),
    "elu": (lambda x, y: ops().elu(y, 0.7), "ELU"),
}


@pytest.mark.parametrize("name", ["x.keras", "x.h5"])
@pytest.mark.parametrize("case", TAKEN)
def test_operations_become_layers_that_compute_the_same(tmp_path: Path, case: str, name: str) -> None:
    import keras

    from frostline_zoo.networks.build import build
    from frostline_zoo.networks.importer import import_network

    graph, class_name = TAKEN[case]
    plain = keras.models.load_model(saved(tmp_path, graph))
    plain.save(tmp_path / name)  # Keras does not load operations with numbers from .h5 again, so it is asked first
    network = import_network(tmp_path / name)
    assert class_name in [layer.class_name for layer in network.manifest.layers]
    x = np.random.default_rng(0).normal(size=(3, 4, 6)).astype("float32")
    model = build(network.manifest, network.blobs.__getitem__).model
    np.testing.assert_allclose(model(x), plain(x), rtol=1e-6, atol=1e-6)


def test_weights_find_their_layers_among_operations_of_the_same_names(tmp_path: Path) -> None:
    import keras

    from frostline_zoo.networks.build import build
    from frostline_zoo.networks.importer import import_network

    layers = keras.layers
    entry = keras.Input((4,))
    inner = keras.Sequential([entry, layers.Dense(4), layers.BatchNormalization()])
    low = inner(entry + layers.Add()([entry, entry]) * 0.5)
    keras.Model(entry, low + layers.Dense(4)(inner(low))).save(tmp_path / "x.keras")
    network = import_network(tmp_path / "x.keras")
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    expected = keras.models.load_model(tmp_path / "x.keras")(x)
    model = build(network.manifest, network.blobs.__getitem__).model
    np.testing.assert_allclose(model(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("graph", "operation", "instead"),
    [
        (lambda x, y: ops().mean(y, axis=1), "Mean", "GlobalAveragePooling"),
        (lambda x, y: ops().average(y, axis=1), "Average", "the layer Average"),
        (lambda x, y: y**2, "Power", "Multiply"),
        (lambda x, y: y[:, :2], "GetItem", "Cropping"),
        (lambda x, y: ops().flip(y, axis=1), "Flip", "built-in layers"),
        (lambda x, y: ops().gelu(y), "Gelu", "Activation"),
        (lambda x, y: ops().cast(y, "float16"), "Cast", "dtype"),
        (lambda x, y: ops().expand_dims(y, 1), "ExpandDims", "Reshape"),
        (lambda x, y: ops().minimum(y, 6.0), "Minimum", "Minimum"),
        (lambda x, y: ops().concatenate([x, y], axis=0), "Concatenate", "Concatenate"),
        (lambda x, y: ops().reshape(y, (-1, 6)), "Reshape", "Reshape"),
        (lambda x, y: ops().transpose(y, (1, 0, 2)), "Transpose", "Permute"),
    ],
)
def test_other_operations_are_refused_by_name_with_what_to_use_instead(
    tmp_path: Path, graph: Graph, operation: str, instead: str
) -> None:
    refused = refusal(saved(tmp_path, graph))
    assert refused.reason == "UNSUPPORTED_LAYER"
    assert f"the operation {operation} of keras.ops" in refused.message
    assert instead in refused.message.partition(": use ")[2]


def test_an_operation_on_what_has_a_mask_is_refused(tmp_path: Path) -> None:
    """The operation drops the mask, and the layer of its name would keep it."""
    import keras

    words = keras.Input((6,))
    read = keras.layers.Embedding(10, 4, mask_zero=True)(words)
    keras.Model(words, keras.layers.LSTM(3)(read * 2.0)).save(tmp_path / "x.keras")
    assert "mask" in refusal(tmp_path / "x.keras").message


def test_a_mask_of_the_networks_own_is_refused(tmp_path: Path) -> None:
    """Read as one that Keras makes by itself, it would be another one, or none."""
    import keras

    words, lengths = keras.Input((6,), dtype="int32"), keras.Input((6,), dtype="int32", name="lengths")
    read = keras.layers.Embedding(10, 4, mask_zero=True)(words)
    read = keras.layers.LSTM(3)(read, mask=keras.ops.not_equal(lengths, 0))
    keras.Model([words, lengths], read).save(tmp_path / "x.keras")
    assert "mask of the network's own" in refusal(tmp_path / "x.keras").message


def test_an_operation_on_whole_numbers_is_refused(tmp_path: Path) -> None:
    import keras

    words = keras.Input((6,), dtype="int32")
    keras.Model(words, keras.layers.Embedding(10, 4)(words + 1)).save(tmp_path / "x.keras")
    assert "floats" in refusal(tmp_path / "x.keras").message


@pytest.mark.parametrize("module", ["keras.utils", "keras.src.ops.numpy", "keras.ops", "keras.layers_of_mine", "mine"])
def test_an_entry_of_another_module_is_never_taken_for_a_layer(tmp_path: Path, module: str) -> None:
    """Neither by the class name that it has, nor in a wrapper."""
    import keras

    stack = [keras.Input((4, 3)), keras.layers.Dense(2), keras.layers.TimeDistributed(keras.layers.Dense(2))]
    keras.Sequential(stack).save(tmp_path / "x.keras")
    with zipfile.ZipFile(tmp_path / "x.keras") as file:
        content = {name: file.read(name) for name in file.namelist()}
    config = json.loads(content["config.json"])
    entries = [config["config"]["layers"][1], config["config"]["layers"][2]["config"]["layer"]]
    for number, entry in enumerate(entries):
        right, entry["module"] = entry["module"], module
        with zipfile.ZipFile(tmp_path / f"{number}.keras", "w") as file:
            for name, each in {**content, "config.json": json.dumps(config).encode()}.items():
                file.writestr(name, each)
        entry["module"] = right
        assert refusal(tmp_path / f"{number}.keras").reason == "UNSAFE_LAYER"
