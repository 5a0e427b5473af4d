"""The HDF5 importer: what Keras 2 wrote, what Keras 3 writes, and what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from frostline_zoo.errors import ZooError
from frostline_zoo.manifest import TensorRef

pytestmark = pytest.mark.keras

ASSETS = Path(os.environ.get("FROSTLINE_ASSETS") or Path(__file__).parents[3] / "shared" / "assets")


def imported(path: Path) -> Any:
    from frostline_zoo.networks.importer import import_network

    return import_network(path)


def built(path: Path) -> Any:
    from frostline_zoo.networks.build import build

    network = imported(path)
    return build(network.manifest, network.blobs.__getitem__)


def refusal(path: Path) -> str:
    with pytest.raises(ZooError) as refused:
        imported(path)
    assert "\n" not in refused.value.message
    assert str(path) not in refused.value.message
    return refused.value.reason


def keras_2_layer(name: str, class_name: str, below: list[Any], **config: Any) -> dict[str, Any]:
    config = {"name": name, "trainable": True, "dtype": "float32", **config}
    return {"class_name": class_name, "name": name, "config": config, "inbound_nodes": below}


def keras_2_input(name: str, *shape: int) -> dict[str, Any]:
    return keras_2_layer(name, "InputLayer", [], batch_input_shape=[None, *shape], sparse=False, ragged=False)


def keras_2_file(
    path: Path, layers: list[dict[str, Any]], output: list[Any], weights: dict[str, list[np.ndarray[Any, Any]]]
) -> Path:
    """Writes a functional network as Keras 2 did."""
    config = {"name": "model", "layers": layers, "input_layers": [[layers[0]["name"], 0, 0]], "output_layers": [output]}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.4.0"
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config}).encode()
        groups = file.create_group("model_weights")
        groups.attrs["layer_names"] = [layer["name"].encode() for layer in layers]
        for name, arrays in weights.items():
            group = groups.create_group(name)
            group.attrs["weight_names"] = [f"{name}/w{at}:0".encode() for at in range(len(arrays))]
            for at, array in enumerate(arrays):
                group[f"{name}/w{at}:0"] = array
    return path


def numbers(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(len(shape)).normal(size=shape).astype("float32")


KERNEL, BIAS, X = numbers(4, 3), numbers(3), numbers(5, 4)


def dense(tmp_path: Path, **config: Any) -> Path:
    layers = [keras_2_input("x", 4), keras_2_layer("d", "Dense", [[["x", 0, 0, {}]]], units=3, **config)]
    return keras_2_file(tmp_path / "x.h5", layers, ["d", 0, 0], {"d": [KERNEL, BIAS]})


@pytest.mark.real_assets
@pytest.mark.skipif(not ASSETS.is_dir(), reason="the shared assets are not there")
@pytest.mark.parametrize("name", ["resnet8_cifar10", "mobilenet_vww96"])
def test_a_real_network_gives_its_reference_outputs(name: str) -> None:
    import keras

    network = built(ASSETS / "networks" / f"{name}.h5")
    reference = np.load(ASSETS / "reference" / f"{name}.npz")
    inner = network.tensors[TensorRef(str(reference["middle_layer"]))]
    outputs = keras.Model(network.model.inputs, [inner, *network.model.outputs]).predict(reference["x"], verbose=0)
    np.testing.assert_allclose(outputs[0], reference["middle"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(outputs[1], reference["y"], rtol=1e-5, atol=1e-5)


def test_weights_of_keras_2_come_in(tmp_path: Path) -> None:
    np.testing.assert_allclose(built(dense(tmp_path)).model(X), X @ KERNEL + BIAS, rtol=1e-5, atol=1e-6)


def test_a_depthwise_convolution_with_the_groups_key_of_keras_2_comes_in(tmp_path: Path) -> None:
    config = {"kernel_size": [3, 3], "strides": [1, 1], "padding": "same", "groups": 1, "depth_multiplier": 1}
    layer = keras_2_layer("dw", "DepthwiseConv2D", [[["x", 0, 0, {}]]], **config)
    weights = {"dw": [numbers(3, 3, 2, 1), numbers(2)]}
    path = keras_2_file(tmp_path / "x.h5", [keras_2_input("x", 5, 5, 2), layer], ["dw", 0, 0], weights)
    assert imported(path).manifest.layers[0].class_name == "DepthwiseConv2D"


def test_an_inner_network_of_keras_2_counts_its_calls_from_one(tmp_path: Path) -> None:
    """Keras 2 counts the making of an inner network as its call 0, and keeps the weights of all of it in one group."""
    low = keras_2_layer("low", "Dense", [[["y", 0, 0, {}]]], units=4, trainable=False)
    top = keras_2_layer("top", "Dense", [[["low", 0, 0, {}]]], units=4)
    ends = {"input_layers": [["y", 0, 0]], "output_layers": [["top", 0, 0]]}
    inner = {"name": "inner", "layers": [keras_2_input("y", 4), low, top], **ends}
    twice = [[["x", 0, 0, {}]], [["inner", 1, 0, {}]]]
    nested = {"class_name": "Functional", "name": "inner", "config": inner, "inbound_nodes": twice}
    trained, frozen = [numbers(4, 4), numbers(4)], [numbers(4, 4) * 2, numbers(4) * 2]
    weights = {"inner": [*trained, *frozen]}  # those that train come first
    path = keras_2_file(tmp_path / "x.h5", [keras_2_input("x", 4), nested], ["inner", 2, 0], weights)

    def once(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return (x @ frozen[0] + frozen[1]) @ trained[0] + trained[1]  # type: ignore[no-any-return]

    network = built(path)
    np.testing.assert_allclose(network.model(X), once(once(X)), rtol=1e-4, atol=1e-4)
    assert [(layer.name, len(layer.calls), layer.trainable) for layer in network.manifest.layers] == [
        ("inner.low", 2, False),
        ("inner.top", 2, True),
    ]


def test_a_sequential_network_without_an_input_layer_takes_its_first_layers_shape(tmp_path: Path) -> None:
    path = dense(tmp_path)
    with h5py.File(path, "r+") as file:
        first = {"class_name": "Dense", "config": {"name": "d", "units": 3, "batch_input_shape": [None, 4]}}
        config = {"class_name": "Sequential", "config": {"name": "s", "layers": [first]}}
        file.attrs["model_config"] = json.dumps(config)
    np.testing.assert_allclose(built(path).model(X), X @ KERNEL + BIAS, rtol=1e-5, atol=1e-6)


def test_slashes_that_keras_2_allowed_in_names_become_underscores(tmp_path: Path) -> None:
    layers = [keras_2_input("x", 4), keras_2_layer("block/d", "Dense", [[["x", 0, 0, {}]]], units=3)]
    path = keras_2_file(tmp_path / "x.h5", layers, ["block/d", 0, 0], {"block/d": [KERNEL, BIAS]})
    assert imported(path).manifest.layers[0].name == "block_d"


@pytest.mark.parametrize(
    ("class_name", "config"),
    [
        ("Dense", {"units": 3, "activation": "hard_sigmoid"}),
        ("LSTM", {"units": 3, "time_major": True}),
        ("LSTM", {"units": 3, "stateful": True}),
        ("BatchNormalization", {"renorm": True}),
    ],
)
def test_what_keras_3_would_compute_otherwise_is_refused(
    tmp_path: Path, class_name: str, config: dict[str, Any]
) -> None:
    layers = [keras_2_input("x", 4, 4), keras_2_layer("l", class_name, [[["x", 0, 0, {}]]], **config)]
    assert refusal(keras_2_file(tmp_path / "x.h5", layers, ["l", 0, 0], {})) == "UNSUPPORTED_LAYER"


def test_a_lambda_layer_is_refused(tmp_path: Path) -> None:
    code = ["4wEAAAA=", None, None]
    layers = [keras_2_input("x", 4), keras_2_layer("evil", "Lambda", [[["x", 0, 0, {}]]], function=code)]
    assert refusal(keras_2_file(tmp_path / "x.h5", layers, ["evil", 0, 0], {})) == "UNSAFE_LAYER"


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([[["ghost", 0, 0, {}]]], "BAD_GRAPH"),
        ([[["d", 0, 0, {}]]], "BAD_GRAPH"),
        ([[["x", 3, 0, {}]]], "BAD_GRAPH"),
        ([[["x", 0, 7, {}]]], "BAD_GRAPH"),
        ([[["x", -1, 0, {}]]], "BAD_CONFIG"),
        ("nonsense", "BAD_CONFIG"),
        ([{"args": [{"class_name": "function", "config": "evil"}], "kwargs": {}}], "UNSAFE_LAYER"),
        ([], "BAD_GRAPH"),
    ],
)
def test_a_graph_that_does_not_hold_together_is_refused(tmp_path: Path, nodes: Any, reason: str) -> None:
    layers = [keras_2_input("x", 4), keras_2_layer("d", "Dense", nodes, units=3)]
    assert refusal(keras_2_file(tmp_path / "x.h5", layers, ["d", 0, 0], {"d": [KERNEL, BIAS]})) == reason


@pytest.mark.parametrize("weights", [{}, {"d": []}, {"d": [KERNEL]}, {"d": [KERNEL.T, BIAS]}, {"d": [BIAS, KERNEL]}])
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, weights: dict[str, Any]) -> None:
    layers = [keras_2_input("x", 4), keras_2_layer("d", "Dense", [[["x", 0, 0, {}]]], units=3)]
    path = keras_2_file(tmp_path / "x.h5", layers, ["d", 0, 0], weights)
    assert refusal(path) in ("BAD_HDF5", "BAD_WEIGHTS")


def external(group: h5py.Group, other: Path) -> None:
    group["w"] = h5py.ExternalLink(str(other), "secret")


def outside(group: h5py.Group, other: Path) -> None:
    group.create_dataset("w", (4,), "u1", external=[(str(other), 0, 4)])


def virtual(group: h5py.Group, other: Path) -> None:
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource(str(other), "secret", (4,))
    group.create_virtual_dataset("w", layout)


def soft(group: h5py.Group, other: Path) -> None:
    group["w"] = h5py.SoftLink("/model_weights")


def cycle(group: h5py.Group, other: Path) -> None:
    group["w"] = group


def bomb(group: h5py.Group, other: Path) -> None:
    group.create_dataset("w", (200_000_000,), "f4", compression="gzip")


def words(group: h5py.Group, other: Path) -> None:
    group.create_dataset("w", data=["a", "b"])


def references(group: h5py.Group, other: Path) -> None:
    group.create_dataset("w", (2,), h5py.ref_dtype)


@pytest.mark.parametrize(
    ("add", "reason"),
    [
        (external, "EXTERNAL_REFERENCE"),
        (outside, "EXTERNAL_REFERENCE"),
        (virtual, "EXTERNAL_REFERENCE"),
        (soft, "EXTERNAL_REFERENCE"),
        (cycle, "BAD_HDF5"),
        (bomb, "LIMIT_INFLATE"),
        (words, "BAD_HDF5"),
        (references, "BAD_HDF5"),
    ],
)
def test_a_file_that_holds_more_than_numbers_in_groups_is_refused(
    tmp_path: Path, add: Callable[[h5py.Group, Path], None], reason: str
) -> None:
    other = tmp_path / "other"
    with h5py.File(other, "w") as file:
        file["secret"] = np.zeros(4, "u1")
    path = dense(tmp_path)
    with h5py.File(path, "r+") as file:
        add(file.create_group("model_weights/more"), other)
    assert refusal(path) == reason


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    path = dense(tmp_path)
    content = path.read_bytes()
    for size in range(8, len(content), max(1, len(content) // 40)):
        path.write_bytes(content[:size])
        assert refusal(path) == "BAD_HDF5"


def test_a_file_of_weights_alone_is_refused(tmp_path: Path) -> None:
    path = dense(tmp_path)
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]
    with pytest.raises(ZooError, match="save the whole model"):
        imported(path)
