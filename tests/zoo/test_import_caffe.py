"""Caffe networks: their layers against equal ONNX operators in ONNX's reference, their files, and what is refused."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_zoo.errors import InvalidError, ZooError
from frostline_zoo.foreign.caffe_network.blobs import blobs_of
from frostline_zoo.foreign.caffe_reader import read_caffe
from frostline_zoo.foreign.files import Files
from frostline_zoo.foreign.formats import format_of
from frostline_zoo.foreign.onnx_reader import read_onnx
from frostline_zoo.identity import trunk_digests
from tests.zoo.caffe_samples import Array, blob, caffemodel, draft_of, field, prototxt, varint
from tests.zoo.onnx_samples import computed, expected, files_of, imported, model, node, numbers

ASSETS = Path(os.environ.get("FROSTLINE_ASSETS", Path(__file__).parents[3] / "shared" / "assets"))
HAS_ASSETS = pytest.mark.skipif(not ASSETS.is_dir(), reason="neither $FROSTLINE_ASSETS nor ../shared/assets is there")
IMAGE = (2, 4, 9, 8)
KERNEL, BIAS = numbers(6, 4, 3, 3), numbers(6)
POSITIVE = np.abs(numbers(4, seed=5)) + 0.5

# A layer of Caffe's, its weights, and the ONNX nodes and weights that say the same.
Sample = tuple[list[str], dict[str, list[Array]], list[Any], dict[str, Array]]
SAMPLES: dict[str, Sample] = {
    "convolution": (
        ["Convolution x -> y { convolution_param { num_output: 6 kernel_size: 3 pad: 1 stride: 2 } }"],
        {"y": [KERNEL, BIAS]},
        [node("Conv", "x w b -> y", pads=[1, 1, 1, 1], strides=[2, 2])],
        {"w": KERNEL, "b": BIAS},
    ),
    "convolution in groups": (
        ["Convolution x -> y { convolution_param { num_output: 6 kernel_h: 3 kernel_w: 1 group: 2 bias_term: 0 } }"],
        {"y": [KERNEL[:, :2, :, :1]]},
        [node("Conv", "x w -> y", group=2)],
        {"w": KERNEL[:, :2, :, :1]},
    ),
    "deconvolution": (
        ["Deconvolution x -> y { convolution_param { num_output: 3 kernel_size: 4 stride: 2 pad: 1 } }"],
        {"y": [numbers(4, 3, 4, 4), numbers(3)]},
        [node("ConvTranspose", "x w b -> y", strides=[2, 2], pads=[1, 1, 1, 1])],
        {"w": numbers(4, 3, 4, 4), "b": numbers(3)},
    ),
    "max pooling, rounded up": (
        ["Pooling x -> y { pooling_param { pool: MAX kernel_size: 3 stride: 2 } }"],
        {},
        [node("MaxPool", "x -> y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)],
        {},
    ),
    "average pooling, padding counted": (
        ["Pooling x -> y { pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR } }"],
        {},
        [node("AveragePool", "x -> y", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)],
        {},
    ),
    "global pooling": (
        ["Pooling x -> y { pooling_param { pool: AVE global_pooling: true } }"],
        {},
        [node("GlobalAveragePool", "x -> y")],
        {},
    ),
    "inner product of a map": (
        ["InnerProduct x -> y { inner_product_param { num_output: 5 } }"],
        {"y": [numbers(5, 288), numbers(5)]},
        [node("Flatten", "x -> f"), node("Gemm", "f w b -> y", transB=1)],
        {"w": numbers(5, 288), "b": numbers(5)},
    ),
    "normalization and scale, in place": (
        [
            "BatchNorm x -> n { batch_norm_param { use_global_stats: true eps: 0.001 } }",
            "Scale:n_1 n -> n { scale_param { bias_term: true } }",
            "ReLU n -> y",
        ],
        {"n": [numbers(4) * 2, POSITIVE * 2, np.float32([2])], "n_1": [numbers(4, seed=1), numbers(4, seed=2)]},
        [node("BatchNormalization", "x g b m v -> n", epsilon=0.001), node("Relu", "n -> y")],
        {"g": numbers(4, seed=1), "b": numbers(4, seed=2), "m": numbers(4), "v": POSITIVE},
    ),
    "normalization alone": (
        ["BatchNorm x -> y"],
        {"y": [numbers(4), POSITIVE, np.float32([1])]},
        [node("BatchNormalization", "x g b m v -> y")],
        {"g": np.ones(4, np.float32), "b": np.zeros(4, np.float32), "m": numbers(4), "v": POSITIVE},
    ),
    "scale alone": (
        ["Scale x -> y { scale_param { bias_term: true } }"],
        {"y": [numbers(4), numbers(4, seed=1)]},
        [node("Mul", "x c -> m"), node("Add", "m d -> y")],
        {"c": numbers(4).reshape(4, 1, 1), "d": numbers(4, seed=1).reshape(4, 1, 1)},
    ),
    "scale by another tensor": (
        [
            "Pooling x -> p { pooling_param { pool: AVE global_pooling: true } }",
            "Flatten p -> f",
            "Scale x f -> y { scale_param { axis: 0 } }",
        ],
        {},
        [node("GlobalAveragePool", "x -> p"), node("Mul", "x p -> y")],
        {},
    ),
    "activations": (
        [
            "ReLU x -> a { relu_param { negative_slope: 0.1 } }",
            "Sigmoid a -> b",
            "TanH b -> c",
            "Power c -> d { power_param { scale: 2 shift: 0.5 power: 2 } }",
            "ELU d -> y",
        ],
        {},
        [
            node("LeakyRelu", "x -> a", alpha=0.1),
            node("Sigmoid", "a -> b"),
            node("Tanh", "b -> c"),
            node("Mul", "c two -> m"),
            node("Add", "m half -> h"),
            node("Mul", "h h -> d"),
            node("Elu", "d -> y"),
        ],
        {"two": np.array(2, np.float32), "half": np.array(0.5, np.float32)},
    ),
    "prelu": (
        ["PReLU x -> y"],
        {"y": [numbers(4)]},
        [node("PRelu", "x s -> y")],
        {"s": numbers(4).reshape(4, 1, 1)},
    ),
    "concat, eltwise, dropout, split": (
        [
            "Split x -> s t",
            "ReLU s -> r",
            "Eltwise r t -> e { eltwise_param { coeff: 1 coeff: -0.5 } }",
            "Dropout e -> e",
            "Concat e r -> y",
        ],
        {},
        [node("Relu", "x -> r"), node("Mul", "x c -> t"), node("Add", "r t -> e"), node("Concat", "e r -> y", axis=1)],
        {"c": np.array(-0.5, np.float32)},
    ),
    "slice, softmax": (
        ["Slice x -> a b { slice_param { slice_point: 1 } }", "Softmax b -> s", "Concat s a -> y"],
        {},
        [
            node("Split", "x parts -> a b", axis=1),
            node("Softmax", "b -> s", axis=1),
            node("Concat", "s a -> y", axis=1),
        ],
        {"parts": np.array([1, 3])},
    ),
    "permute, reshape": (
        [
            "Permute x -> p { permute_param { order: [0, 2, 3, 1] } }",
            "Reshape p -> y { reshape_param { shape { dim: 0 dim: -1 dim: 2 } } }",
        ],
        {},
        [node("Transpose", "x -> p", perm=[0, 2, 3, 1]), node("Reshape", "p to -> y")],
        {"to": np.array([0, -1, 2])},
    ),
    "shuffle of channels": (
        ["ShuffleChannel x -> y { shuffle_channel_param { group: 2 } }"],
        {},
        [node("Reshape", "x a -> s"), node("Transpose", "s -> t", perm=[0, 2, 1, 3, 4]), node("Reshape", "t b -> y")],
        {"a": np.array([0, 2, 2, 9, 8]), "b": np.array([0, 4, 9, 8])},
    ),
}


@pytest.mark.keras
@pytest.mark.parametrize("name", SAMPLES)
def test_a_layer_computes_what_the_equal_onnx_operators_do(name: str) -> None:
    layers, weights, nodes, arrays = SAMPLES[name]
    text = prototxt(IMAGE, *layers)
    x = numbers(*IMAGE, seed=7)
    [found] = computed(draft_of(text, caffemodel(**weights)), x)
    [wanted] = expected(model(nodes, IMAGE, arrays), x)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


OLDER = b"""
name: "older"  # a comment
input: 'x' input_dim: 1, input_dim: 4 input_dim: 5; input_dim: 5
layers { name: "c" type: CONVOLUTION bottom: "x" top: "y" convolution_param < num_output: 6 kernel_size: 3 > }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "y" top: "l" include: { phase: TRAIN } }
"""


def test_the_older_form_is_read_as_todays() -> None:
    weights = field(2, field(4, b"c") + field(6, blob(KERNEL)) + field(6, blob(BIAS)))
    draft = draft_of(OLDER, weights)
    assert [(layer.name, layer.class_name) for layer in draft.layers] == [("c", "Conv2D")]
    assert draft.report.renamed == [("c/0", "c/kernel"), ("c/1", "c/bias")]
    assert draft.report.notes[0] == "layer 'loss' is of the training phase and was left out"


def test_weights_of_layers_that_are_not_there_are_reported() -> None:
    draft = draft_of(prototxt(IMAGE, "ReLU x -> y"), caffemodel(gone=[BIAS]))
    assert draft.report.unexpected == ["gone/0"]


def test_a_caffemodel_without_its_prototxt_is_refused() -> None:
    with pytest.raises(InvalidError, match="send the one of the same name along"):
        read_caffe(files_of(net__caffemodel=caffemodel()), "net.caffemodel")


CONVOLUTION = "Convolution x -> y { convolution_param { num_output: 6 kernel_size: 3 } }"


def overflowing() -> bytes:
    return field(100, field(1, b"y") + field(7, blob(BIAS, [1 << 40, 1 << 40])))


@pytest.mark.parametrize(
    ("text", "weights", "reason"),
    [
        (prototxt(IMAGE, "Python x -> y { python_param { module: 'os' layer: 'system' } }"), b"", "UNSAFE_LAYER"),
        (prototxt(IMAGE, "Data x -> y { data_param { source: 'secret' } }"), b"", "EXTERNAL_REFERENCE"),
        (prototxt(IMAGE, "HDF5Data x -> y { hdf5_data_param { source: 'secret' } }"), b"", "EXTERNAL_REFERENCE"),
        (prototxt(IMAGE, "ImageData x -> y { image_data_param { source: 'secret' } }"), b"", "EXTERNAL_REFERENCE"),
        (prototxt(IMAGE, "HDF5Output x -> y { hdf5_output_param { file_name: 'out' } }"), b"", "EXTERNAL_REFERENCE"),
        (prototxt(IMAGE, "ReLU x -> y { transform_param { mean_file: 'secret' } }"), b"", "EXTERNAL_REFERENCE"),
        (b"layer {" * 5_000 + b"}" * 5_000, b"", "LIMIT_DEPTH"),
        (b" " * (2 << 20), b"", "LIMIT_HEADER"),
        (prototxt(IMAGE, CONVOLUTION), overflowing(), "LIMIT_PARAMS"),
        (prototxt(IMAGE, CONVOLUTION), varint(100 << 3 | 2) + varint(3 << 30), "LIMIT_PARAMS"),
        (prototxt(IMAGE, CONVOLUTION), caffemodel(y=[KERNEL, BIAS])[:-9], "BAD_MESSAGE"),
        (prototxt(IMAGE, CONVOLUTION), caffemodel(), "BAD_WEIGHTS"),
        (prototxt(IMAGE, CONVOLUTION), field(100, field(1, b"y") + field(7, blob(BIAS, [7]))), "BAD_CAFFE"),
        (prototxt(IMAGE, "ReLU nothing -> y"), b"", "BAD_CAFFE"),
        (b"layer { name: 'x' type:", b"", "BAD_CAFFE"),
        (b"layer } {", b"", "BAD_CAFFE"),
        (b"\x00\xff", b"", "BAD_CAFFE"),
        (prototxt(IMAGE, "Anything x -> y"), b"", "UNSUPPORTED_LAYER"),
    ],
)
def test_files_that_would_do_harm_are_refused(text: bytes, weights: bytes, reason: str) -> None:
    with pytest.raises(ZooError) as refused:
        draft_of(text, weights)
    assert refused.value.reason == reason
    assert "secret" not in refused.value.message


def test_numbers_of_a_layer_are_not_taken_for_weights_of_another_shape() -> None:
    """What the layer's configuration asks for decides; the draft is held against it again before anything is built."""
    with pytest.raises(InvalidError, match=r"'y' \(Convolution\)"):
        draft_of(prototxt(IMAGE, CONVOLUTION), caffemodel(y=[KERNEL[:, :3], BIAS]))


def counted(ours: Iterable[str], theirs: Iterable[str]) -> tuple[int, int, int]:
    """Returns how many digests each has, and how many of one the other has too."""
    one, other = Counter(ours), Counter(theirs)
    return one.total(), other.total(), (one & other).total()


def face() -> Any:
    folder = ASSETS / "networks"
    return read_caffe(
        Files.of(folder / "face_rfb320.caffemodel", [folder / "face_rfb320.prototxt"]), "face_rfb320.caffemodel"
    )


@pytest.mark.keras
@pytest.mark.real_assets
@HAS_ASSETS
def test_the_face_detector_gives_its_reference_outputs_and_shares_its_layers_with_the_onnx_one() -> None:
    reference = np.load(ASSETS / "reference" / "face_rfb320.caffe.npz")
    network = imported(face())
    made = network.model(reference["x"].transpose(0, 2, 3, 1), training=False)
    for ref, found in zip(network.manifest.outputs, made, strict=True):
        np.testing.assert_allclose(found, reference[ref.layer], rtol=0, atol=5e-5)
    path = ASSETS / "networks" / "face_rfb320.onnx"
    other = imported(read_onnx(Files.of(path), path.name)).manifest
    # The 35 convolutions that differ have batch normalization folded in; the ONNX file has it as 35 layers more.
    ours, theirs = network.manifest, other
    assert counted(*([layer.digest for layer in each.layers] for each in (ours, theirs))) == (108, 143, 73)
    assert counted(*([layer.digest for layer in each.layers if layer.blob] for each in (ours, theirs))) == (52, 87, 17)
    assert counted(trunk_digests(ours).values(), trunk_digests(theirs).values())[2] == 2


@pytest.mark.parametrize(("filters", "blobs"), [(17, [KERNEL, BIAS]), (6, [KERNEL])])
def test_a_prototxt_of_another_network_is_told_from_a_layer_that_keras_lacks(filters: int, blobs: list[Array]) -> None:
    layer = f"Convolution x -> y {{ convolution_param {{ num_output: {filters} kernel_size: 3 }} }}"
    with pytest.raises(InvalidError, match=r"send the \.prototxt that belongs to the \.caffemodel") as refused:
        draft_of(prototxt(IMAGE, layer), caffemodel(y=blobs))
    assert refused.value.reason == "BAD_WEIGHTS"


def test_a_blob_of_nothing_with_huge_sides_is_refused() -> None:
    content = field(100, field(1, b"y") + field(7, blob(np.zeros(0), (0, 1 << 40, 1 << 40))))
    with pytest.raises(InvalidError) as refused:
        blobs_of(memoryview(content))
    assert refused.value.reason == "BAD_CAFFE"


def test_a_prototxt_alone_is_refused_with_what_it_needs() -> None:
    with pytest.raises(InvalidError, match=r"no weights: give its \.caffemodel") as refused:
        format_of("net.prototxt", b'name: "net"\nlayer {\n')
    assert refused.value.reason == "UNKNOWN_FORMAT"
