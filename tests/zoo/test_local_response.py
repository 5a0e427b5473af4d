"""Local response normalization in built-in layers, against NumPy: alone, and in small AlexNet and GoogLeNet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_zoo.errors import InvalidError
from tests.zoo.caffe_samples import Array, caffemodel, draft_of, prototxt
from tests.zoo.onnx_samples import NEWEST, computed, imported, model, node, numbers
from tests.zoo.onnx_samples import draft_of as onnx_draft_of

pytestmark = pytest.mark.keras


def across(x: Array, size: int, alpha: float, beta: float, bias: float) -> Array:
    """Returns what ONNX and Caffe define, channel by channel."""
    squares, sums = x.astype(np.float64) ** 2, np.zeros(x.shape)
    for channel in range(x.shape[1]):
        first, last = channel - (size - 1) // 2, channel + size // 2
        sums[:, channel] = squares[:, max(first, 0) : last + 1].sum(1)
    return x * (bias + alpha / size * sums) ** -beta


def within(x: Array, size: int, alpha: float, beta: float) -> Array:
    """Returns what Caffe defines for a region within a channel: what is padded counts."""
    return x * (1 + alpha * windows(x.astype(np.float64) ** 2, size, 1, size // 2).mean((-1, -2))) ** -beta


def windows(x: Array, size: int, stride: int, pad: int, ends: int | None = None, value: float = 0.0) -> Array:
    """Returns the windows over a map: (batch, channels, rows, columns, size, size)."""
    pads = (pad, pad if ends is None else ends)
    x = np.pad(x, ((0, 0), (0, 0), pads, pads), constant_values=value)
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]


def conv(x: Array, kernel: Array, bias: Array, stride: int = 1, pad: int = 0, groups: int = 1) -> Array:
    seen = windows(x, kernel.shape[2], stride, pad)
    parts = zip(np.split(seen, groups, 1), np.split(kernel, groups), strict=True)
    return np.concatenate([np.einsum("bcijhw,fchw->bfij", *part) for part in parts], 1) + bias[:, None, None]


def pool(x: Array, size: int, stride: int, pad: int = 0) -> Array:
    """Returns the largest numbers; places are rounded up."""
    over = -(x.shape[2] + 2 * pad - size) % stride
    return windows(x, size, stride, pad, pad + over, -np.inf).max((-1, -2))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("spread", [1e-3, 1.0, 300.0, 1e5])
@pytest.mark.parametrize(
    "values", [(5, 1e-4, 0.75, 1.0), (3, 2.0, 0.5, 2.0), (4, 5e-5, 0.75, 1e-6), (9, 1.0, 1.25, 7.0)]
)
def test_an_onnx_normalization_computes_its_definition(values: tuple[int, float, float, float], spread: float) -> None:
    size, alpha, beta, bias = values
    x = numbers(2, 7, 6, 5) * np.float32(spread)
    made = model([node("LRN", "x -> y", size=size, alpha=alpha, beta=beta, bias=bias)], x.shape)
    [found] = computed(onnx_draft_of(made), x)
    np.testing.assert_allclose(found, across(x, *values), rtol=1e-5)


@pytest.mark.parametrize(("shape", "opset"), [((2, 6, 9), 7), ((2, 6, 3, 4, 5), 13), ((1, 2, 3, 3), NEWEST)])
def test_it_takes_maps_of_any_rank_and_by_default_what_onnx_says(shape: tuple[int, ...], opset: int) -> None:
    x = numbers(*shape) * 100
    [found] = computed(onnx_draft_of(model([node("LRN", "x -> y", size=5)], shape, opset=opset)), x)
    np.testing.assert_allclose(found, across(x, 5, 1e-4, 0.75, 1.0), rtol=1e-5)


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        ("local_size: 3 alpha: 0.5 beta: 0.6 k: 2", lambda x: across(x, 3, 0.5, 0.6, 2.0)),
        ("", lambda x: across(x, 5, 1.0, 0.75, 1.0)),
        ("local_size: 3 alpha: 5e-05 beta: 0.75 norm_region: WITHIN_CHANNEL", lambda x: within(x, 3, 5e-5, 0.75)),
        ("local_size: 5 alpha: 0.5 norm_region: 1", lambda x: within(x, 5, 0.5, 0.75)),
    ],
)
def test_a_caffe_normalization_computes_its_definition(parameters: str, wanted: Any) -> None:
    x = numbers(2, 6, 7, 8) * 10
    [found] = computed(draft_of(prototxt(x.shape, f"LRN x -> y {{ lrn_param {{ {parameters} }} }}")), x)
    np.testing.assert_allclose(found, wanted(x), rtol=1e-5)


@pytest.mark.parametrize(
    "parameters", ["k: 0", "k: -1", "alpha: -1", "local_size: 4", "local_size: 0", "norm_region: 2"]
)
def test_a_normalization_that_could_divide_by_zero_is_refused(parameters: str) -> None:
    with pytest.raises(InvalidError, match=r"layer 'y' \(LRN\)"):
        draft_of(prototxt((1, 4, 5, 5), f"LRN x -> y {{ lrn_param {{ {parameters} }} }}"))


NORM = "{ lrn_param { local_size: 5 alpha: 0.01 beta: 0.75 } }"
ALEXNET = [
    "Convolution x -> c1 { convolution_param { num_output: 8 kernel_size: 7 stride: 2 } }",
    "ReLU c1 -> c1",
    f"LRN c1 -> n1 {NORM}",
    "Pooling n1 -> p1 { pooling_param { pool: MAX kernel_size: 3 stride: 2 } }",
    "Convolution p1 -> c2 { convolution_param { num_output: 12 kernel_size: 5 pad: 2 group: 2 } }",
    "ReLU c2 -> c2",
    f"LRN c2 -> n2 {NORM}",
    "Pooling n2 -> p2 { pooling_param { pool: MAX kernel_size: 3 stride: 2 } }",
    "InnerProduct p2 -> f3 { inner_product_param { num_output: 16 } }",
    "ReLU f3 -> f3",
    "Dropout f3 -> f3 { dropout_param { dropout_ratio: 0.5 } }",
    "InnerProduct f3 -> f4 { inner_product_param { num_output: 5 } }",
    "Softmax f4 -> prob",
]
ALEXNET_WEIGHTS = {
    "c1": [numbers(8, 3, 7, 7), numbers(8)],
    "c2": [numbers(12, 4, 5, 5) / 5, numbers(12)],
    "f3": [numbers(16, 12 * 3 * 3) / 10, numbers(16)],
    "f4": [numbers(5, 16) / 3, numbers(5)],
}


def alexnet(x: Array) -> Array:
    w = ALEXNET_WEIGHTS
    y = pool(across(relu(conv(x, *w["c1"], stride=2)), 5, 0.01, 0.75, 1.0), 3, 2)
    y = pool(across(relu(conv(y, *w["c2"], pad=2, groups=2)), 5, 0.01, 0.75, 1.0), 3, 2)
    y = relu(y.reshape(len(y), -1) @ w["f3"][0].T + w["f3"][1])
    return softmax(y @ w["f4"][0].T + w["f4"][1])


GOOGLENET = [
    "Convolution x -> c1 { convolution_param { num_output: 8 kernel_size: 7 stride: 2 pad: 3 } }",
    "ReLU c1 -> c1",
    "Pooling c1 -> p1 { pooling_param { pool: MAX kernel_size: 3 stride: 2 } }",
    f"LRN p1 -> n1 {NORM}",
    "Convolution n1 -> r2 { convolution_param { num_output: 8 kernel_size: 1 } }",
    "ReLU r2 -> r2",
    f"LRN r2 -> n2 {NORM}",
    "Convolution n2 -> a { convolution_param { num_output: 4 kernel_size: 1 } }",
    "ReLU a -> a",
    "Convolution n2 -> b1 { convolution_param { num_output: 3 kernel_size: 1 } }",
    "ReLU b1 -> b1",
    "Convolution b1 -> b { convolution_param { num_output: 5 kernel_size: 3 pad: 1 } }",
    "ReLU b -> b",
    "Pooling n2 -> d1 { pooling_param { pool: MAX kernel_size: 3 stride: 1 pad: 1 } }",
    "Convolution d1 -> d { convolution_param { num_output: 3 kernel_size: 1 } }",
    "ReLU d -> d",
    "Concat a b d -> out",
    "Pooling out -> p5 { pooling_param { pool: AVE kernel_size: 8 stride: 1 } }",
    "Dropout p5 -> p5 { dropout_param { dropout_ratio: 0.4 } }",
    "InnerProduct p5 -> f { inner_product_param { num_output: 5 } }",
    "Softmax f -> prob",
]
GOOGLENET_WEIGHTS = {
    "c1": [numbers(8, 3, 7, 7), numbers(8)],
    "r2": [numbers(8, 8, 1, 1), numbers(8)],
    "a": [numbers(4, 8, 1, 1), numbers(4)],
    "b1": [numbers(3, 8, 1, 1), numbers(3)],
    "b": [numbers(5, 3, 3, 3), numbers(5)],
    "d": [numbers(3, 8, 1, 1), numbers(3)],
    "f": [numbers(5, 12), numbers(5)],
    "loss1_conv": [numbers(4, 8, 1, 1), numbers(4)],  # of the training phase: not in the .prototxt for deployment
}


def googlenet(x: Array) -> Array:
    w = GOOGLENET_WEIGHTS
    y = across(pool(relu(conv(x, *w["c1"], stride=2, pad=3)), 3, 2), 5, 0.01, 0.75, 1.0)
    y = across(relu(conv(y, *w["r2"])), 5, 0.01, 0.75, 1.0)
    inner = relu(conv(relu(conv(y, *w["b1"])), *w["b"], pad=1))
    pooled = relu(conv(pool(y, 3, 1, 1), *w["d"]))
    y = np.concatenate([relu(conv(y, *w["a"])), inner, pooled], 1).mean((2, 3))
    return softmax(y @ w["f"][0].T + w["f"][1])


@pytest.mark.parametrize(
    ("layers", "weights", "reference", "side"),
    [(ALEXNET, ALEXNET_WEIGHTS, alexnet, 31), (GOOGLENET, GOOGLENET_WEIGHTS, googlenet, 32)],
    ids=["alexnet", "googlenet"],
)
def test_the_classic_networks_compute_what_numpy_does(
    layers: list[str], weights: dict[str, list[Array]], reference: Any, side: int
) -> None:
    x = numbers(3, 3, side, side) * 5
    draft = draft_of(prototxt(x.shape, *layers), caffemodel(**weights))
    [found] = computed(draft, x)
    np.testing.assert_allclose(found, reference(x), rtol=1e-4, atol=1e-6)
    assert draft.report.missing == []
    assert draft.report.unexpected == [f"{name}/{at}" for name in weights if "loss" in name for at in (0, 1)]


def small_alexnet() -> Any:
    return imported(draft_of(prototxt((1, 3, 31, 31), *ALEXNET), caffemodel(**ALEXNET_WEIGHTS)))


def test_plain_keras_loads_such_a_network_and_it_comes_back_as_it_was(tmp_path: Path) -> None:
    import keras

    from frostline_zoo.networks.export import export_network
    from frostline_zoo.networks.importer import import_network

    network, x = small_alexnet(), numbers(2, 31, 31, 3)
    export_network(network, "keras", tmp_path / "out.keras")
    loaded = keras.models.load_model(tmp_path / "out.keras")
    np.testing.assert_array_equal(loaded(x, training=False), network.model(x, training=False))
    assert import_network(tmp_path / "out.keras").manifest == network.manifest


def test_each_of_its_normalizations_is_eleven_layers_that_end_under_its_own_name() -> None:
    names = [layer.name for layer in small_alexnet().manifest.layers]
    assert names.index("n1") - names.index("n1_squares") == 10


def test_a_spectrogram_with_a_window_by_name_is_refused(tmp_path: Path) -> None:
    import keras

    from frostline_zoo.networks.importer import import_network

    sounds = keras.Sequential([keras.Input((64, 1)), keras.layers.STFTSpectrogram(frame_length=8, window="hann")])
    sounds.save(tmp_path / "sounds.keras")
    with pytest.raises(InvalidError, match="a window by its name is not supported: give its numbers, or null for none"):
        import_network(tmp_path / "sounds.keras")
