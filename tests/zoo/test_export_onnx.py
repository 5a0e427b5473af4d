"""Export as ONNX, held to ONNX's own reference."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from frostline_zoo.errors import InvalidError

pytestmark = pytest.mark.keras

ASSETS = Path(os.environ.get("FROSTLINE_ASSETS", Path(__file__).parents[3] / "shared" / "assets"))
IMAGE, ROW, ROWS, VOLUME = (7, 6, 4), (5,), (9, 4), (5, 4, 3, 2)
LAYERS: list[tuple[str, dict[str, Any], tuple[int | None, ...]]] = [
    ("Conv2D", {"filters": 3, "kernel_size": (3, 2), "activation": "relu"}, IMAGE),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same", "use_bias": False}, IMAGE),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "dilation_rate": 2, "padding": "same", "groups": 2}, IMAGE),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}, (None, None, 2)),
    ("Conv1D", {"filters": 3, "kernel_size": 3, "dilation_rate": 2, "padding": "causal"}, ROWS),
    ("Conv3D", {"filters": 3, "kernel_size": 2, "padding": "same", "strides": 2}, VOLUME),
    ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2, "padding": "same", "activation": "relu6"}, IMAGE),
    ("DepthwiseConv1D", {"kernel_size": 3}, ROWS),
    ("SeparableConv2D", {"filters": 3, "kernel_size": 3, "depth_multiplier": 2, "strides": 2}, IMAGE),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}, IMAGE),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": (2, 4), "strides": 3}, IMAGE),
    ("MaxPooling2D", {"pool_size": 3, "strides": 2, "padding": "same"}, IMAGE),
    ("AveragePooling2D", {"pool_size": 3, "strides": 2, "padding": "same"}, IMAGE),
    ("AveragePooling1D", {"pool_size": 2}, ROWS),
    ("GlobalAveragePooling2D", {"keepdims": True}, IMAGE),
    ("GlobalMaxPooling1D", {}, ROWS),
    ("BatchNormalization", {"scale": False}, IMAGE),
    ("BatchNormalization", {"center": False}, ROW),
    ("BatchNormalization", {"axis": 1}, IMAGE),
    ("LayerNormalization", {"axis": [2, 3]}, IMAGE),
    ("Normalization", {"mean": [1.0, 2.0, 3.0, 4.0], "variance": [4.0, 1.0, 0.25, 9.0]}, IMAGE),
    ("Rescaling", {"scale": [0.5, 1.0, 2.0, 3.0], "offset": -1.0}, IMAGE),
    ("Dense", {"units": 3, "activation": "softmax"}, ROW),
    ("Dense", {"units": 3, "use_bias": False, "activation": "gelu"}, ROWS),
    ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (None, 3), "bias_axes": "d"}, ROWS),
    ("PReLU", {"alpha_initializer": "he_normal", "shared_axes": [1]}, IMAGE),
    ("ReLU", {"negative_slope": 0.2}, ROW),
    ("ReLU", {"max_value": 1.0}, ROW),
    ("LeakyReLU", {}, ROW),
    ("ELU", {"alpha": 0.5}, ROW),
    ("Softmax", {"axis": 1}, ROWS),
    ("STFTSpectrogram", {"frame_length": 4, "frame_step": 3, "fft_length": 8, "window": None}, (30, 2)),
    (
        "STFTSpectrogram",
        {"mode": "magnitude", "frame_length": 3, "fft_length": 4, "window": None, "padding": "same"},
        ROWS,
    ),
    ("Flatten", {}, IMAGE),
    ("Reshape", {"target_shape": (6, -1)}, IMAGE),
    ("Permute", {"dims": (3, 1, 2)}, IMAGE),
    ("RepeatVector", {"n": 3}, ROW),
    ("ZeroPadding2D", {"padding": ((1, 0), (2, 1))}, IMAGE),
    ("ZeroPadding1D", {"padding": 2}, ROWS),
    ("Cropping2D", {"cropping": ((1, 0), (2, 1))}, IMAGE),
    ("Cropping1D", {"cropping": (1, 2)}, ROWS),
    ("UpSampling2D", {"size": (2, 3)}, IMAGE),
    ("UpSampling2D", {"size": 2, "interpolation": "bilinear"}, IMAGE),
    ("UpSampling1D", {"size": 2}, ROWS),
    ("Resizing", {"height": 5, "width": 9}, IMAGE),
    ("Resizing", {"height": 4, "width": 11, "interpolation": "nearest"}, IMAGE),
    ("Dropout", {"rate": 0.5}, ROW),
    ("RandomFlip", {}, IMAGE),
]
ACTIVATIONS = """
    celu elu exponential gelu hard_sigmoid hard_silu leaky_relu log_softmax mish relu relu6 selu sigmoid silu softmax
    softplus softsign tanh
"""
LAYERS += [("Activation", {"activation": name}, ROW) for name in ACTIVATIONS.split()]


def kept(model: Any, seed: int = 0) -> Any:
    """Returns a Keras model, its weights drawn anew, as the zoo builds it from its manifest."""
    from frostline_zoo.networks.build import build
    from frostline_zoo.networks.describe import describe

    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.2, 1.0, weight.shape).astype(weight.dtype) for weight in model.get_weights()])
    description = describe(model)
    return build(description.manifest, description.blobs.__getitem__)


def written(network: Any, path: Path) -> Any:
    from frostline_zoo.networks.export import export_network

    export_network(network, "onnx", path)
    onnx.checker.check_model(path, full_check=True)
    file = onnx.load(path)
    assert all(len(node.input) == 2 for node in file.graph.node if node.op_type == "Pad")  # ONNX Runtime loses axes
    return file


def check(network: Any, path: Path, inputs: list[Any]) -> Any:
    """Checks that the network's ONNX file gives its outputs, and returns it."""
    import keras

    file = written(network, path)
    names = [entry.name for entry in file.graph.input]
    made = ReferenceEvaluator(file).run(None, dict(zip(names, inputs, strict=True)))
    expected = keras.tree.flatten(network.model(inputs if len(inputs) > 1 else inputs[0], training=False))
    assert len(made) == len(expected)
    for one, other in zip(made, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-5)
    return file


def drawn(*shapes: tuple[int | None, ...]) -> list[Any]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=(2, *(side or 8 for side in shape))).astype("float32") for shape in shapes]


@pytest.mark.parametrize(
    ("kind", "config", "shape"), LAYERS, ids=[f"{kind}-{at}" for at, (kind, *_) in enumerate(LAYERS)]
)
def test_a_layer_computes_in_onnx_what_it_computes_in_keras(
    kind: str, config: dict[str, Any], shape: tuple[int | None, ...], tmp_path: Path
) -> None:
    import keras

    layer = getattr(keras.layers, kind)(**config)
    check(kept(keras.Sequential([keras.Input(shape), layer])), tmp_path / "n.onnx", drawn(shape))


def test_a_graph_with_branches_shared_layers_and_several_outputs_is_written_whole(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((8, 8, 3), name="b")
    shared = layers.Conv2D(4, 3, padding="same", name="shared")
    left, right = shared(a), shared(b)
    merged = layers.Concatenate(name="join")([layers.Add()([left, right]), layers.Maximum()([left, right])])
    scaled = layers.Multiply()([merged, layers.GlobalAveragePooling2D(keepdims=True)(merged)])
    outputs = [layers.Dense(2, name="top")(layers.Flatten()(scaled)), layers.Average(name="mean")([left, right])]
    file = check(kept(keras.Model([a, b], outputs)), tmp_path / "n.onnx", drawn((8, 8, 3), (8, 8, 3)))
    assert [entry.name for entry in file.graph.output] == ["top", "mean"]
    weights = [array.name for array in file.graph.initializer]
    assert sorted(name for name in weights if name.startswith("shared/")) == ["shared/bias", "shared/kernel"]


def test_between_convolutions_nothing_is_transposed(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    x = keras.Input((8, 8, 3))
    y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(x)))
    y = layers.Add()([y, layers.Conv2D(4, 3, padding="same", activation="relu")(y)])
    network = kept(keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(y)))))
    file = check(network, tmp_path / "n.onnx", drawn((8, 8, 3)))
    assert [node.op_type for node in file.graph.node].count("Transpose") == 1


def test_whole_numbers_become_embeddings_and_scaled_pixels(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    words, pixels = keras.Input((4,), dtype="int32", name="words"), keras.Input((6, 6, 3), dtype="uint8", name="pixels")
    outputs = [layers.Embedding(9, 3)(words), layers.Rescaling(1 / 255)(pixels)]
    rng = np.random.default_rng(2)
    inputs = [rng.integers(0, 9, (2, 4), "int32"), rng.integers(0, 256, (2, 6, 6, 3), "uint8")]
    check(kept(keras.Model([words, pixels], outputs)), tmp_path / "n.onnx", inputs)


def test_attention_is_written_with_its_mask_its_key_and_without_biases(tmp_path: Path) -> None:
    import keras

    attention = keras.layers.MultiHeadAttention
    x, y = keras.Input((5, 6), name="x"), keras.Input((None, 4), name="y")
    mask, each_head = keras.Input((1, None), name="mask"), keras.Input((3, 5, 5), dtype="bool", name="each_head")
    outputs = [
        attention(2, 3, dropout=0.5)(x, y, attention_mask=mask),
        attention(3, 2, value_dim=4, output_shape=7, use_bias=False)(query=x, value=x, key=x, attention_mask=each_head),
        attention(2, 3)(x, y, y, use_causal_mask=False),
    ]
    inputs = [*drawn((5, 6), (4, 4)), np.array([[[1, 1, 0, 1]], [[1, 0, 0, 0]]], "float32")]
    inputs.append(np.random.default_rng(3).random((2, 3, 5, 5)) > 0.4)
    file = check(kept(keras.Model([x, y, mask, each_head], outputs)), tmp_path / "n.onnx", inputs)
    weights = {array.name for array in file.graph.initializer}
    assert {"multi_head_attention/kernel", "multi_head_attention/bias_3", "multi_head_attention_1/kernel_3"} <= weights


def test_an_onnx_file_holds_the_manifest(tmp_path: Path) -> None:
    import keras

    network = kept(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="only")]))
    file = written(network, tmp_path / "n.onnx")
    manifest = json.loads({entry.key: entry.value for entry in file.metadata_props}["frostline.manifest"])
    assert manifest["layers"][0]["name"] == "only"


def test_what_onnx_is_not_told_is_refused_by_the_layers_name(tmp_path: Path) -> None:
    import keras

    from frostline_zoo.networks.export import export_network

    layers = keras.layers
    for layer, shape in [
        (layers.LSTM(3, name="odd"), (4, 2)),
        (layers.Dense(3, activation="sparsemax", name="odd"), (4,)),
        (layers.Dense(3, dtype="float16", name="odd"), (4,)),
        (layers.STFTSpectrogram("angle", 2, window=None, name="odd"), (8, 1)),
        (layers.Embedding(5, 2, mask_zero=True, name="odd"), (4,)),
        (layers.Resizing(3, 3, interpolation="bicubic", name="odd"), (4, 4, 1)),
    ]:
        with pytest.raises(InvalidError, match=r"layer 'odd' \(\w+\): .* is not written as ONNX: export as"):
            export_network(kept(keras.Sequential([keras.Input(shape), layer])), "onnx", tmp_path / "n.onnx")
    assert list(tmp_path.iterdir()) == []


def test_attention_that_onnx_is_not_told_is_refused_by_the_layers_name(tmp_path: Path) -> None:
    import keras

    from frostline_zoo.networks.export import export_network

    def odd(call: dict[str, Any], **config: Any) -> Any:
        x = keras.Input((5, 6))
        return keras.Model(x, keras.layers.MultiHeadAttention(2, 3, name="odd", **config)(x, x, **call))

    for model in [odd({"use_causal_mask": True}), odd({}, sliding_window=2), odd({"return_attention_scores": True})]:
        with pytest.raises(InvalidError, match=r"layer 'odd' \(MultiHeadAttention\): .* is not written as ONNX"):
            export_network(kept(model), "onnx", tmp_path / "n.onnx")


@pytest.mark.real_assets
@pytest.mark.skipif(not ASSETS.is_dir(), reason="neither $FROSTLINE_ASSETS nor ../shared/assets is there")
@pytest.mark.parametrize("name", ["resnet8_cifar10.h5", "mobilenet_vww96.h5", "face_rfb320.onnx"])
def test_a_published_network_is_written_whole(name: str, tmp_path: Path) -> None:
    from frostline_zoo.networks.build import build
    from frostline_zoo.networks.importer import import_network

    made = import_network(ASSETS / "networks" / name)
    shape = made.manifest.inputs[0].shape
    check(build(made.manifest, made.blobs.__getitem__), tmp_path / "n.onnx", [drawn(shape)[0][:1]])
