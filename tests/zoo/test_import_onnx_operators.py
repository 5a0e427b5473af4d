"""ONNX operators as Keras layers, each against ONNX's own reference, element by element."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest

from tests.zoo.onnx_samples import NEWEST, Array, computed, draft_of, expected, model, node, numbers

pytestmark = pytest.mark.keras


class Case(NamedTuple):
    """Nodes from x to y, the shape of x, their weights, and the opsets that write them so."""

    nodes: list[onnx.NodeProto]
    shape: tuple[int, ...]
    weights: dict[str, Array] = {}  # noqa: RUF012
    opsets: tuple[int, ...] = (7, NEWEST)


IMAGE = (2, 3, 8, 7)
NEW, OLD = (13, NEWEST), (7,)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


def conv(shape: tuple[int, ...] = IMAGE, kernel: tuple[int, ...] = (4, 3, 3, 3), **attributes: Any) -> Case:
    weights = {"w": numbers(*kernel), "b": numbers(kernel[0])}
    return Case([node("Conv", "x w b -> y", **attributes)], shape, weights)


def transposed(kernel: tuple[int, ...] = (3, 4, 3, 3), **attributes: Any) -> Case:
    weights = {"w": numbers(*kernel), "b": numbers(kernel[1])}
    return Case([node("ConvTranspose", "x w b -> y", **attributes)], IMAGE, weights, (11, NEWEST))


def one(op_type: str, shape: tuple[int, ...] = IMAGE, opsets: tuple[int, ...] = (7, NEWEST), **more: Any) -> Case:
    """One operator; arrays are its further inputs, the rest its attributes."""
    weights = {key: value for key, value in more.items() if isinstance(value, np.ndarray)}
    attributes = {key: value for key, value in more.items() if key not in weights}
    return Case([node(op_type, f"x {' '.join(weights)} -> y", **attributes)], shape, weights, opsets)


CASES: dict[str, Case] = {
    "conv": conv(),
    "conv, same by pads": conv(pads=[1, 1, 1, 1]),
    "conv, strided with pads": conv(pads=[1, 1, 1, 1], strides=[2, 2]),
    "conv, lopsided": conv(pads=[0, 2, 1, 0], strides=[2, 1]),
    "conv, dilated": conv(pads=[2, 2, 2, 2], dilations=[2, 2]),
    "conv, dilated and strided": conv(pads=[2, 2, 2, 2], dilations=[2, 2], strides=[2, 2]),
    "conv, same upper": conv(auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv, same lower": conv(auto_pad="SAME_LOWER", strides=[2, 2]),
    "conv, valid": conv(auto_pad="VALID"),
    "conv, grouped": conv((2, 4, 8, 7), (6, 2, 3, 3), group=2, pads=[1, 1, 1, 1]),
    "conv, depthwise": conv((2, 4, 8, 7), (4, 1, 3, 3), group=4, pads=[1, 1, 1, 1], strides=[2, 2]),
    "conv, depthwise, two each": conv((2, 4, 8, 7), (8, 1, 3, 3), group=4),
    "conv, depthwise, strides that differ": conv((2, 4, 8, 7), (4, 1, 3, 3), group=4, strides=[2, 1]),
    "conv of a line": conv((2, 3, 9), (4, 3, 3), pads=[1, 1]),
    "conv of a line, depthwise": conv((2, 4, 9), (4, 1, 3), group=4, strides=[2]),
    "conv of a volume": conv((1, 2, 5, 5, 5), (4, 2, 3, 3, 3), pads=[1, 1, 1, 1, 1, 1], strides=[2, 2, 2]),
    "transposed conv": transposed(),
    "transposed conv, strided": transposed(strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
    "transposed conv, small window": transposed((3, 4, 2, 2), strides=[3, 3]),
    "batch normalization": Case(
        [node("BatchNormalization", "x g b m v -> y", epsilon=1e-3)],
        IMAGE,
        {"g": numbers(3), "b": numbers(3, seed=1), "m": numbers(3, seed=2), "v": np.abs(numbers(3, seed=3)) + 0.1},
        (15, NEWEST),
    ),
    "instance normalization": one("InstanceNormalization", g=numbers(3), b=numbers(3, seed=1)),
    "layer normalization": one("LayerNormalization", (2, 5, 6), (17, NEWEST), g=numbers(6), b=numbers(6, seed=1)),
    "group normalization": one(
        "GroupNormalization", (2, 4, 5, 5), (21, NEWEST), g=numbers(4), b=numbers(4, seed=1), num_groups=2
    ),
    "gemm": one("Gemm", (4, 5), w=numbers(5, 3), b=numbers(3)),
    "gemm, turned and scaled": one("Gemm", (4, 5), w=numbers(3, 5), b=numbers(3), transB=1, alpha=0.5, beta=2.0),
    "matmul": one("MatMul", (2, 4, 5), w=numbers(5, 3)),
    "matmul with a bias": Case(
        [node("MatMul", "x w -> t"), node("Add", "t b -> y")], (2, 4, 5), {"w": numbers(5, 3), "b": numbers(3)}
    ),
    "matmul from the left": Case([node("MatMul", "w x -> y")], (2, 4, 5), {"w": numbers(3, 4)}),
    "matmul of two that are computed": Case(
        [node("Transpose", "x -> t", perm=[0, 2, 1]), node("MatMul", "x t -> y")], (2, 4, 5)
    ),
    "max pool": one("MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
    "max pool, padded": one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "max pool, padded, of a relu": Case(
        [node("Relu", "x -> t"), node("MaxPool", "t -> y", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])],
        IMAGE,
    ),
    "max pool, rounded up": one("MaxPool", opsets=NEW, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    "max pool, same": one("MaxPool", kernel_shape=[2, 2], auto_pad="SAME_UPPER"),
    "average pool": one("AveragePool", kernel_shape=[2, 2], strides=[2, 2]),
    "average pool, padding left out": one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
    "average pool, padding counted": one(
        "AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2], count_include_pad=1
    ),
    "global average pool": one("GlobalAveragePool"),
    "global max pool": one("GlobalMaxPool"),
    "relu": one("Relu"),
    "leaky relu": one("LeakyRelu", alpha=0.1),
    "thresholded relu": one("ThresholdedRelu", opsets=(10, NEWEST), alpha=0.5),
    "elu": one("Elu", alpha=0.7),
    "selu": one("Selu"),
    "celu": one("Celu", opsets=(12, NEWEST)),
    "prelu": one("PRelu", slope=numbers(3, 1, 1)),
    "prelu, one slope": one("PRelu", slope=numbers(1)),
    "sigmoid": one("Sigmoid"),
    "tanh": one("Tanh"),
    "softplus": one("Softplus"),
    "softsign": one("Softsign"),
    "hard sigmoid": one("HardSigmoid"),
    "hard swish": one("HardSwish", opsets=(14, NEWEST)),
    "mish": one("Mish", opsets=(18, NEWEST)),
    "gelu": one("Gelu", opsets=(20, NEWEST)),
    "gelu by tanh": one("Gelu", opsets=(20, NEWEST), approximate="tanh"),
    "clip to 6": one("Clip", opsets=(7,), min=0.0, max=6.0),
    "clip by inputs": one("Clip", opsets=NEW, low=np.array(-0.3, np.float32), high=np.array(0.8, np.float32)),
    "clip from above": Case([node("Clip", "x _ high -> y")], IMAGE, {"high": np.array(0.3, np.float32)}, NEW),
    "softmax of rows": one("Softmax", (2, 5)),
    "softmax of channels": one("Softmax", opsets=NEW, axis=1),
    "log softmax": one("LogSoftmax", opsets=NEW, axis=1),
    "exp, abs, neg": Case([node("Neg", "x -> s"), node("Abs", "s -> t"), node("Exp", "t -> y")], IMAGE),
    "add of two": Case([node("Relu", "x -> t"), node("Add", "x t -> y")], IMAGE),
    "times its channels": Case([node("GlobalAveragePool", "x -> t"), node("Mul", "x t -> y")], IMAGE),
    "sub of two": Case([node("Relu", "x -> t"), node("Sub", "x t -> y")], IMAGE),
    "max, min, mean of two": Case(
        [node("Relu", "x -> t"), node("Max", "x t -> u"), node("Min", "x u -> v"), node("Mean", "x v -> y")],
        IMAGE,
        opsets=(8, NEWEST),
    ),
    "times one number": one("Mul", c=np.array(2.5, np.float32)),
    "a factor for each channel": one("Mul", c=numbers(3, 1, 1)),
    "a factor and an offset for each channel": Case(
        [node("Mul", "x c -> t"), node("Add", "t d -> y")], IMAGE, {"c": numbers(3, 1, 1), "d": numbers(1, 3, 1, 1)}
    ),
    "an offset for each place": one("Add", (2, 4, 5), c=numbers(4, 5)),
    "one minus": Case([node("Sub", "c x -> y")], IMAGE, {"c": np.array(1, np.float32)}),
    "divided by channels": one("Div", c=np.abs(numbers(3, 1, 1)) + 1),
    "squared": one("Pow", c=np.array(2, np.float32)),
    "concat of channels": Case([node("Relu", "x -> t"), node("Concat", "x t -> y", axis=1)], IMAGE),
    "reduce mean, places": one("ReduceMean", opsets=(7, 13), axes=[2, 3], keepdims=0),
    "reduce mean, channels": one("ReduceMean", opsets=(18, NEWEST), axes=ints(1)),
    "reduce sum, features": one("ReduceSum", (2, 4, 5), opsets=NEW, axes=ints(-1), keepdims=0),
    "reduce max, rows": one("ReduceMax", opsets=(11, 13), axes=[2]),
    "flatten": one("Flatten"),
    "flatten, then gemm": Case(
        [
            node("Conv", "x k -> s"),
            node("Relu", "s -> t"),
            node("Flatten", "t -> f"),
            node("Gemm", "f w b -> y"),
        ],
        (2, 3, 4, 4),
        {"k": numbers(5, 3, 3, 3), "w": numbers(20, 6), "b": numbers(6)},
    ),
    "squeeze": Case(
        [node("GlobalAveragePool", "x -> t"), node("Squeeze", "t axes -> y")], IMAGE, {"axes": ints(2, 3)}, NEW
    ),
    "unsqueeze": one("Unsqueeze", (2, 5), OLD, axes=[2, 3]),
    "shuffle of channels": Case(
        [
            node("Reshape", "x a -> s"),
            node("Transpose", "s -> t", perm=[0, 2, 1, 3, 4]),
            node("Reshape", "t b -> u"),
            node("Conv", "u w -> y"),
        ],
        (2, 4, 5, 6),
        {"a": ints(0, 2, 2, 5, 6), "b": ints(0, -1, 5, 6), "w": numbers(3, 4, 1, 1)},
    ),
    "depth to space": one("DepthToSpace", (1, 8, 3, 4), (11, NEWEST), blocksize=2),
    "depth to space, by columns": one("DepthToSpace", (1, 8, 3, 4), (11, NEWEST), blocksize=2, mode="CRD"),
    "space to depth": one("SpaceToDepth", (1, 2, 4, 6), (7, NEWEST), blocksize=2),
    "slice of channels": one("Slice", opsets=(7,), starts=[1], ends=[3], axes=[1]),
    "slice of rows, every second": one(
        "Slice", opsets=NEW, starts=ints(1), ends=ints(100), axes=ints(2), steps=ints(2)
    ),
    "slice from the end": one("Slice", (2, 7), NEW, starts=ints(-4), ends=ints(-1), axes=ints(1)),
    "split of channels": Case(
        [node("Split", "x parts -> s t", axis=1), node("Concat", "t s -> y", axis=1)],
        (2, 5, 4, 4),
        {"parts": ints(2, 3)},
        NEW,
    ),
    "pad of places": one("Pad", opsets=NEW, pads=ints(0, 0, 1, 2, 0, 0, 0, 1)),
    "pad of channels": one("Pad", opsets=(7,), pads=[0, 1, 0, 0, 0, 2, 0, 0]),
    "pad by a number": one("Pad", opsets=NEW, pads=ints(0, 0, 1, 1, 0, 0, 1, 1), value=np.array(1.5, np.float32)),
    "gather of a row": Case([node("Gather", "x at -> y", axis=1)], (2, 4, 5), {"at": np.array(2)}, (7, NEWEST)),
    "resize, nearest, twice": Case(
        [node("Resize", "x _ scales -> y", coordinate_transformation_mode="asymmetric", nearest_mode="floor")],
        IMAGE,
        {"scales": floats(1, 1, 2, 2)},
        (11, NEWEST),
    ),
    "resize, linear, twice": Case(
        [node("Resize", "x _ scales -> y", mode="linear")], IMAGE, {"scales": floats(1, 1, 2, 2)}, (11, NEWEST)
    ),
    "resize, linear, to a size": Case(
        [node("Resize", "x _ _ sizes -> y", mode="linear")], IMAGE, {"sizes": ints(2, 3, 11, 5)}, (13, NEWEST)
    ),
    "dropout": one("Dropout", opsets=(7, 13)),
    "transposes that cancel": Case(
        [node("Transpose", "x -> s", perm=[0, 2, 3, 1]), node("Transpose", "s -> y", perm=[0, 3, 1, 2])], IMAGE
    ),
    "weights that are computed": Case(
        [node("Transpose", "w -> v", perm=[1, 0]), node("MatMul", "x v -> y")], (2, 5), {"w": numbers(3, 5)}
    ),
    "weights of eight bits": Case(
        [node("DequantizeLinear", "w s z -> v"), node("MatMul", "x v -> y")],
        (2, 5),
        {"w": (numbers(5, 3) * 50).astype(np.int8), "s": np.array(0.02, np.float32), "z": np.array(3, np.int8)},
        (19, NEWEST),
    ),
}


@pytest.mark.parametrize(("name", "opset"), [(name, opset) for name, case in CASES.items() for opset in case.opsets])
def test_an_operator_computes_what_onnx_says(name: str, opset: int) -> None:
    case = CASES[name]
    made = model(case.nodes, case.shape, case.weights, opset)
    x = numbers(*case.shape, seed=7)
    [wanted] = expected(made, x)
    [found] = computed(draft_of(made), x)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("opset", [7, 11, 13, 17, NEWEST])
def test_a_network_computes_the_same_in_every_opset(opset: int) -> None:
    axes = {"axes": ints(2, 3)} if opset >= 13 else {}
    squeeze = node("Squeeze", "p axes -> s") if axes else node("Squeeze", "p -> s", axes=[2, 3])
    weights = {"k": numbers(5, 3, 3, 3), "w": numbers(5, 4), "b": numbers(4), **axes}
    nodes = [
        node("Conv", "x k -> c", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", "c -> r"),
        node("GlobalAveragePool", "r -> p"),
        squeeze,
        node("Gemm", "s w b -> g"),
        node("Softmax", "g -> y", axis=1),
    ]
    made = model(nodes, ("batch", 3, 8, 7), weights, opset)
    x = numbers(*IMAGE)
    np.testing.assert_allclose(computed(draft_of(made), x)[0], expected(made, x)[0], rtol=1e-5, atol=1e-6)


def test_softmax_of_older_opsets_goes_over_all_axes_from_its_own_on() -> None:
    """Before opset 13 the axes from the named one on count as one; ONNX's reference does not do that."""
    made = model([node("Softmax", "x -> y", axis=1)], (2, 3, 4), opset=11)
    x = numbers(2, 3, 4)
    shares = np.exp(x) / np.exp(x).sum((1, 2), keepdims=True)
    np.testing.assert_allclose(computed(draft_of(made), x)[0], shares, rtol=1e-5, atol=1e-6)


def test_negative_pads_crop() -> None:
    pads = ints(0, 0, -1, 0, 0, 0, 0, -2)
    made = model([node("Pad", "x pads -> y")], IMAGE, {"pads": pads})
    np.testing.assert_array_equal(computed(draft_of(made), x := numbers(*IMAGE))[0], x[:, :, 1:, :-2])
