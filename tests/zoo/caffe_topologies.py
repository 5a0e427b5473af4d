"""The networks of the Caffe zoo, a few channels wide: as .prototxt, as weights, and by their definitions in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.zoo.numpy_layers import Array, across, conv, dense, pool, relu, softmax
from tests.zoo.onnx_samples import numbers

# Layers, weights, what computes the same, and the side of the images.
Network = tuple[list[str], dict[str, list[Array]], Callable[[Array], Array], int]

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
    """Returns what its definition makes of images."""
    w = ALEXNET_WEIGHTS
    y = pool(across(relu(conv(x, *w["c1"], stride=2)), 5, 0.01, 0.75, 1.0), 3, 2)
    y = pool(across(relu(conv(y, *w["c2"], pad=2, groups=2)), 5, 0.01, 0.75, 1.0), 3, 2)
    return softmax(dense(relu(dense(y, *w["f3"])), *w["f4"]))


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
    """Returns what its definition makes of images."""
    w = GOOGLENET_WEIGHTS
    y = across(pool(relu(conv(x, *w["c1"], stride=2, pad=3)), 3, 2), 5, 0.01, 0.75, 1.0)
    y = across(relu(conv(y, *w["r2"])), 5, 0.01, 0.75, 1.0)
    inner = relu(conv(relu(conv(y, *w["b1"])), *w["b"], pad=1))
    pooled = relu(conv(pool(y, 3, 1, 1), *w["d"]))
    y = np.concatenate([relu(conv(y, *w["a"])), inner, pooled], 1).mean((2, 3))
    return softmax(dense(y, *w["f"]))


VGG = [
    "Convolution x -> c1 { convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }",
    "ReLU c1 -> c1",
    "Convolution c1 -> c2 { convolution_param { num_output: 5 kernel_size: 3 pad: 1 } }",
    "ReLU c2 -> c2",
    "Pooling c2 -> p1 { pooling_param { pool: MAX kernel_size: 2 stride: 2 } }",
    "Convolution p1 -> c3 { convolution_param { num_output: 6 kernel_size: 3 pad: 1 } }",
    "ReLU c3 -> c3",
    "Pooling c3 -> p2 { pooling_param { pool: MAX kernel_size: 2 stride: 2 } }",
    "InnerProduct p2 -> f6 { inner_product_param { num_output: 9 } }",
    "ReLU f6 -> f6",
    "Dropout f6 -> f6 { dropout_param { dropout_ratio: 0.5 } }",
    "InnerProduct f6 -> f7 { inner_product_param { num_output: 8 } }",
    "ReLU f7 -> f7",
    "Dropout f7 -> f7 { dropout_param { dropout_ratio: 0.5 } }",
    "InnerProduct f7 -> f8 { inner_product_param { num_output: 5 } }",
    "Softmax f8 -> prob",
]
VGG_WEIGHTS = {
    "c1": [numbers(4, 3, 3, 3) / 4, numbers(4)],
    "c2": [numbers(5, 4, 3, 3) / 5, numbers(5)],
    "c3": [numbers(6, 5, 3, 3) / 5, numbers(6)],
    "f6": [numbers(9, 6 * 4 * 4) / 9, numbers(9)],
    "f7": [numbers(8, 9) / 3, numbers(8)],
    "f8": [numbers(5, 8) / 3, numbers(5)],
}


def vgg(x: Array) -> Array:
    """Returns what its definition makes of images."""
    w = VGG_WEIGHTS
    y = pool(relu(conv(relu(conv(x, *w["c1"], pad=1)), *w["c2"], pad=1)), 2, 2)
    y = pool(relu(conv(y, *w["c3"], pad=1)), 2, 2)
    return softmax(dense(relu(dense(relu(dense(y, *w["f6"])), *w["f7"])), *w["f8"]))


def _fire(name: str, below: str, few: int, many: int) -> list[str]:
    return [
        f"Convolution {below} -> {name}s {{ convolution_param {{ num_output: {few} kernel_size: 1 }} }}",
        f"ReLU {name}s -> {name}s",
        f"Convolution {name}s -> {name}a {{ convolution_param {{ num_output: {many} kernel_size: 1 }} }}",
        f"ReLU {name}a -> {name}a",
        f"Convolution {name}s -> {name}b {{ convolution_param {{ num_output: {many} kernel_size: 3 pad: 1 }} }}",
        f"ReLU {name}b -> {name}b",
        f"Concat {name}a {name}b -> {name}",
    ]


SQUEEZENET = [
    "Convolution x -> c1 { convolution_param { num_output: 6 kernel_size: 7 stride: 2 } }",
    "ReLU c1 -> c1",
    "Pooling c1 -> p1 { pooling_param { pool: MAX kernel_size: 3 stride: 2 } }",
    *_fire("fire2", "p1", 3, 4),
    *_fire("fire3", "fire2", 3, 5),
    "Pooling fire3 -> p3 { pooling_param { pool: MAX kernel_size: 3 stride: 2 } }",
    "Dropout p3 -> p3 { dropout_param { dropout_ratio: 0.5 } }",
    "Convolution p3 -> c10 { convolution_param { num_output: 5 pad: 1 kernel_size: 1 } }",
    "ReLU c10 -> c10",
    "Pooling c10 -> p10 { pooling_param { pool: AVE global_pooling: true } }",
    "Softmax p10 -> prob",
]
SQUEEZENET_WEIGHTS = {
    "c1": [numbers(6, 3, 7, 7) / 9, numbers(6)],
    **{
        f"fire{at}{part}": [numbers(filters, channels, side, side) / 3, numbers(filters)]
        for at, below, many in ((2, 6, 4), (3, 8, 5))
        for part, filters, channels, side in (("s", 3, below, 1), ("a", many, 3, 1), ("b", many, 3, 3))
    },
    "c10": [numbers(5, 10, 1, 1), numbers(5)],
}


def squeezenet(x: Array) -> Array:
    """Returns what its definition makes of images."""
    w = SQUEEZENET_WEIGHTS
    y = pool(relu(conv(x, *w["c1"], stride=2)), 3, 2)
    for fire in ("fire2", "fire3"):
        squeezed = relu(conv(y, *w[f"{fire}s"]))
        wide = relu(conv(squeezed, *w[f"{fire}b"], pad=1))
        y = np.concatenate([relu(conv(squeezed, *w[f"{fire}a"])), wide], 1)
    y = relu(conv(pool(y, 3, 2), *w["c10"], pad=1))
    return softmax(y.mean((2, 3), keepdims=True))


def _normed(name: str, below: str, parameters: str) -> list[str]:
    """Returns a convolution without a bias, and its normalization and scale in place, as ResNet's files have them."""
    return [
        f"Convolution {below} -> {name} {{ convolution_param {{ bias_term: false {parameters} }} }}",
        f"BatchNorm:bn_{name} {name} -> {name} {{ batch_norm_param {{ use_global_stats: true }} }}",
        f"Scale:scale_{name} {name} -> {name} {{ scale_param {{ bias_term: true }} }}",
    ]


def _normed_weights(name: str, *shape: int) -> dict[str, list[Array]]:
    filters, factor = shape[0], np.float32([999.98])  # as Caffe keeps sums of what it has seen
    mean, variance = numbers(filters, seed=1), np.abs(numbers(filters, seed=2)) + 0.5
    return {
        name: [numbers(*shape) / 3],
        f"bn_{name}": [mean * factor, variance * factor, factor],
        f"scale_{name}": [numbers(filters, seed=3), numbers(filters, seed=4)],
    }


def _norm(w: dict[str, list[Array]], name: str, x: Array) -> Array:
    mean, variance, factor = w[f"bn_{name}"]
    scale, offset = w[f"scale_{name}"]
    spread = np.sqrt(variance / factor + 1e-5)
    return (x - (mean / factor)[:, None, None]) * (scale / spread)[:, None, None] + offset[:, None, None]


RESNET = [
    *_normed("c1", "x", "num_output: 6 kernel_size: 7 pad: 3 stride: 2"),
    "ReLU c1 -> c1",
    "Pooling c1 -> p1 { pooling_param { pool: MAX kernel_size: 3 stride: 2 } }",
    *_normed("r2a_1", "p1", "num_output: 8 kernel_size: 1"),
    *_normed("r2a_2a", "p1", "num_output: 4 kernel_size: 1"),
    "ReLU r2a_2a -> r2a_2a",
    *_normed("r2a_2b", "r2a_2a", "num_output: 4 kernel_size: 3 pad: 1"),
    "ReLU r2a_2b -> r2a_2b",
    *_normed("r2a_2c", "r2a_2b", "num_output: 8 kernel_size: 1"),
    "Eltwise r2a_1 r2a_2c -> r2a",
    "ReLU r2a -> r2a",
    *_normed("r3a_1", "r2a", "num_output: 12 kernel_size: 1 stride: 2"),
    *_normed("r3a_2a", "r2a", "num_output: 5 kernel_size: 1 stride: 2"),
    "ReLU r3a_2a -> r3a_2a",
    *_normed("r3a_2b", "r3a_2a", "num_output: 12 kernel_size: 3 pad: 1"),
    "Eltwise r3a_1 r3a_2b -> r3a { eltwise_param { operation: SUM } }",
    "ReLU r3a -> r3a",
    "Pooling r3a -> p5 { pooling_param { pool: AVE kernel_size: 4 stride: 1 } }",
    "InnerProduct p5 -> f { inner_product_param { num_output: 5 } }",
    "Softmax f -> prob",
]
RESNET_WEIGHTS = {
    **_normed_weights("c1", 6, 3, 7, 7),
    **_normed_weights("r2a_1", 8, 6, 1, 1),
    **_normed_weights("r2a_2a", 4, 6, 1, 1),
    **_normed_weights("r2a_2b", 4, 4, 3, 3),
    **_normed_weights("r2a_2c", 8, 4, 1, 1),
    **_normed_weights("r3a_1", 12, 8, 1, 1),
    **_normed_weights("r3a_2a", 5, 8, 1, 1),
    **_normed_weights("r3a_2b", 12, 5, 3, 3),
    "f": [numbers(5, 12) / 30, numbers(5)],
}


def resnet(x: Array) -> Array:
    """Returns what its definition makes of images."""
    w = RESNET_WEIGHTS

    def normed(name: str, y: Array, stride: int = 1, pad: int = 0) -> Array:
        return _norm(w, name, conv(y, *w[name], stride=stride, pad=pad))

    y = pool(relu(normed("c1", x, 2, 3)), 3, 2)
    inner = relu(normed("r2a_2b", relu(normed("r2a_2a", y)), pad=1))
    y = relu(normed("r2a_1", y) + normed("r2a_2c", inner))
    y = relu(normed("r3a_1", y, 2) + normed("r3a_2b", relu(normed("r3a_2a", y, 2)), pad=1))
    return softmax(dense(y.mean((2, 3)), *w["f"]))


MOBILENET = [
    *_normed("c1", "x", "num_output: 6 kernel_size: 3 pad: 1 stride: 2"),
    "ReLU c1 -> c1",
    *_normed("c2_dw", "c1", "num_output: 6 kernel_size: 3 pad: 1 group: 6 engine: CAFFE"),
    "ReLU c2_dw -> c2_dw",
    *_normed("c2_sep", "c2_dw", "num_output: 8 kernel_size: 1"),
    "ReLU c2_sep -> c2_sep",
    *_normed("c3_dw", "c2_sep", "num_output: 8 kernel_size: 3 pad: 1 stride: 2 group: 8 engine: CAFFE"),
    "ReLU c3_dw -> c3_dw",
    *_normed("c3_sep", "c3_dw", "num_output: 10 kernel_size: 1"),
    "ReLU c3_sep -> c3_sep",
    "Pooling c3_sep -> p6 { pooling_param { pool: AVE global_pooling: true } }",
    "Convolution p6 -> f7 { convolution_param { num_output: 5 kernel_size: 1 } }",
    "Softmax f7 -> prob",
]
MOBILENET_WEIGHTS = {
    **_normed_weights("c1", 6, 3, 3, 3),
    **_normed_weights("c2_dw", 6, 1, 3, 3),
    **_normed_weights("c2_sep", 8, 6, 1, 1),
    **_normed_weights("c3_dw", 8, 1, 3, 3),
    **_normed_weights("c3_sep", 10, 8, 1, 1),
    "f7": [numbers(5, 10, 1, 1), numbers(5)],
}


def mobilenet(x: Array) -> Array:
    """Returns what its definition makes of images."""
    w, y = MOBILENET_WEIGHTS, x
    for name, stride, pad, groups in (
        ("c1", 2, 1, 1),
        ("c2_dw", 1, 1, 6),
        ("c2_sep", 1, 0, 1),
        ("c3_dw", 2, 1, 8),
        ("c3_sep", 1, 0, 1),
    ):
        y = relu(_norm(w, name, conv(y, *w[name], stride=stride, pad=pad, groups=groups)))
    return softmax(conv(y.mean((2, 3), keepdims=True), *w["f7"]))


NETWORKS: dict[str, Network] = {
    "alexnet": (ALEXNET, ALEXNET_WEIGHTS, alexnet, 31),
    "googlenet": (GOOGLENET, GOOGLENET_WEIGHTS, googlenet, 32),
    "vgg": (VGG, VGG_WEIGHTS, vgg, 16),
    "squeezenet": (SQUEEZENET, SQUEEZENET_WEIGHTS, squeezenet, 38),
    "resnet": (RESNET, RESNET_WEIGHTS, resnet, 32),
    "mobilenet": (MOBILENET, MOBILENET_WEIGHTS, mobilenet, 17),
}
