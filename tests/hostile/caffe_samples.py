"""Hostile Caffe networks: layers that run code, read and write files; texts without end, blobs that lie."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.hostile.sample import EXHAUSTED, INVALID, TAKEN, Canaries, Sample
from tests.zoo.caffe_samples import blob, caffemodel, field, prototxt, varint
from tests.zoo.onnx_samples import numbers

IMAGE = (1, 4, 9, 8)
CONVOLUTION = "Convolution x -> y { convolution_param { num_output: 6 kernel_size: 3 } }"
WEIGHTS = {"y": [numbers(6, 4, 3, 3), numbers(6)]}


def samples(canaries: Canaries) -> Iterator[Sample]:
    """Yields M68 to M73, and benign ones."""
    secret, written = str(canaries.secret), str(canaries.written)
    outside = ("EXTERNAL_REFERENCE",)
    python = f"module: 'os' layer: 'system' param_str: 'touch {written}'"
    saving = f"save_output_param {{ output_directory: '{written}' }}"
    for number, what, kind, parameters, inner, reasons in [
        ("M68", "a layer of Python", "Python", "python_param", python, ("UNSAFE_LAYER",)),
        ("M69a", "a database", "Data", "data_param", f"source: '{secret}'", outside),
        ("M69b", "HDF5 files", "HDF5Data", "hdf5_data_param", f"source: '{secret}'", outside),
        ("M69c", "images", "ImageData", "image_data_param", f"source: '{secret}'", outside),
        ("M69d", "a mean in a file", "ReLU", "transform_param", f"mean_file: '{secret}'", outside),
        ("M70a", "an HDF5 file written", "HDF5Output", "hdf5_output_param", f"file_name: '{written}'", outside),
        ("M70b", "a folder written", "DetectionOutput", "detection_output_param", saving, outside),
    ]:
        text = prototxt(IMAGE, f"{kind} x -> y {{ {parameters} {{ {inner} }} }}")
        yield _pair(number, what, text, caffemodel(), INVALID, reasons)
    deep = b"layer {" * 5_000 + b"}" * 5_000
    yield _pair("M71a", "messages 5,000 deep", deep, caffemodel(), INVALID, ("LIMIT_DEPTH",))
    yield _pair("M71b", "2 MiB of blanks", b" " * (2 << 20), caffemodel(), EXHAUSTED, ("LIMIT_HEADER",))
    text, large = prototxt(IMAGE, CONVOLUTION), ("LIMIT_PARAMS",)
    for number, what, sides in [
        ("M72a", "sides whose product is past 64 bits", [1 << 40, 1 << 40]),
        ("M72b", "sides whose product in 64 bits is 6", [(1 << 63) + 3, 2]),
    ]:
        lying = field(100, field(1, b"y") + field(7, blob(WEIGHTS["y"][1], sides)))
        yield _pair(number, what, text, lying, EXHAUSTED, large)
    huge = varint(100 << 3 | 2) + varint(3 << 30) + bytes(100)
    yield _pair("M73", "a layer that says it takes 3 GiB", text, huge, EXHAUSTED, large)
    yield from _benign()


def _pair(number: str, what: str, text: bytes, weights: bytes, status: str, reasons: tuple[str, ...] = ()) -> Sample:
    return Sample(number, what, "x.caffemodel", weights, status, reasons, {"x.prototxt": text})


def _benign() -> Iterator[Sample]:
    yield _pair("B11a", "a plain network", prototxt(IMAGE, CONVOLUTION), caffemodel(**WEIGHTS), TAKEN)
    layers = [CONVOLUTION, "BatchNorm y -> n", "Scale n -> s { scale_param { bias_term: true } }", "Dropout s -> d"]
    normal = {"n": [numbers(6), np.abs(numbers(6)), np.float32([1])], "s": [numbers(6), numbers(6)]}
    text, weights = prototxt(IMAGE, *layers), caffemodel(**WEIGHTS, **normal)
    yield _pair("B11b", "one with normalization and dropout", text, weights, TAKEN)
    # Caffe knows no quantized numbers; those of double precision are its other type.
    doubles = b"".join(field(7, _double_blob(array)) for array in WEIGHTS["y"])
    weights = field(100, field(1, b"y") + doubles)
    yield _pair("B11c", "one of double precision", prototxt(IMAGE, CONVOLUTION), weights, TAKEN)


def _double_blob(array: np.ndarray) -> bytes:
    shape = b"".join(varint(side) for side in array.shape)
    return field(8, array.astype("<f8").tobytes()) + field(7, field(1, shape))
