"""Layer digests and trunk digests, on manifests written by hand. The laws over real networks are in test_laws.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from frostline_zoo.digests import digest_of
from frostline_zoo.identity import layer_digest, trunk_digests, view_digests
from frostline_zoo.manifest import Call, Input, Layer, Manifest, Parameter, TensorRef
from frostline_zoo.preprocessing import Preprocessing

BLOB = digest_of(b"weights")
KNOWN_LAYER = "sha256:7fd542e65fd2af5cae4981d30876b83f39763e9ecec7b9585787b30b2d1c5c62"
KNOWN_TRUNK = "sha256:bf1ee6d255eb3c2415f74791cfce61623564c9920c30f368b1d9c074d06de0b8"
DENSE: dict[str, Any] = {
    "dtype": "float32",
    "units": 3,
    "activation": "relu",
    "use_bias": True,
    "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
    "kernel_regularizer": None,
    "kernel_constraint": None,
}


def two_layers(top_weights: bytes = b"top", **changes: Any) -> Manifest:
    def layer(name: str, below: str, weights: bytes) -> Layer:
        blob = digest_of(weights)
        call = Call([{"tensor": [below, 0, 0]}])
        parameters = (Parameter("kernel", (3, 3), "float32"),)
        return Layer(name, "Dense", DENSE, layer_digest("Dense", DENSE, blob), blob, parameters, True, (call,))

    layers = (layer("low", "x", b"low"), layer("top", "low", top_weights))
    manifest = Manifest((Input("x", (3,), "float32"),), layers, (TensorRef("top"),))
    return replace(manifest, **changes)


def test_the_digest_of_a_known_layer_never_changes() -> None:
    """docs/formats.md works this example out. A digest that changes loses every stored feature."""
    assert layer_digest("Dense", DENSE, BLOB) == KNOWN_LAYER


def test_the_digest_of_a_known_trunk_never_changes() -> None:
    assert trunk_digests(two_layers())[TensorRef("top")] == KNOWN_TRUNK


@pytest.mark.parametrize(
    "change",
    [
        {"kernel_initializer": {"class_name": "Zeros", "config": {}}},
        {"kernel_regularizer": {"class_name": "L2", "config": {"l2": 0.1}}},
        {"kernel_constraint": {"class_name": "NonNeg", "config": {}}},
        {"name": "another", "trainable": False},
        {"lora_rank": None},
        {"dtype": {"class_name": "DTypePolicy", "config": {"name": "float32"}}},
    ],
)
def test_what_does_not_change_the_output_does_not_change_the_digest(change: dict[str, Any]) -> None:
    assert layer_digest("Dense", {**DENSE, **change}, BLOB) == layer_digest("Dense", DENSE, BLOB)


@pytest.mark.parametrize(
    ("one", "other"), [(2, 2.0), (0, 0.0), ([1, 2], [1.0, 2.0]), (-3, -3.0), (2**24 - 1, float(2**24 - 1))]
)
def test_a_whole_number_is_one_number_however_it_is_written(one: Any, other: Any) -> None:
    assert layer_digest("Rescaling", {"scale": one}, None) == layer_digest("Rescaling", {"scale": other}, None)


@pytest.mark.parametrize(("one", "other"), [(2, 2.5), (0.0, -0.0), (2**24, float(2**24))])
def test_other_numbers_are_other_numbers(one: Any, other: Any) -> None:
    assert layer_digest("Rescaling", {"scale": one}, None) != layer_digest("Rescaling", {"scale": other}, None)


@pytest.mark.parametrize("change", [{"units": 4}, {"activation": "tanh"}, {"use_bias": False}, {"dtype": "bfloat16"}])
def test_what_changes_the_output_changes_the_digest(change: dict[str, Any]) -> None:
    assert layer_digest("Dense", {**DENSE, **change}, BLOB) != layer_digest("Dense", DENSE, BLOB)


def test_other_weights_or_another_class_are_another_digest() -> None:
    digests = {layer_digest("Dense", DENSE, blob) for blob in (BLOB, digest_of(b"other"), None)}
    assert len(digests | {layer_digest("EinsumDense", DENSE, BLOB)}) == 4


@pytest.mark.parametrize(
    ("class_name", "one", "other"),
    [
        ("Dropout", {"rate": 0.2, "seed": 1}, {"rate": 0.5, "seed": None}),
        ("BatchNormalization", {"axis": -1, "momentum": 0.9}, {"axis": -1, "momentum": 0.99}),
        ("STFTSpectrogram", {"mode": "log", "window": [1.0], "scaling": None}, {"mode": "log", "scaling": "density"}),
        ("LSTM", {"units": 3, "recurrent_dropout": 0.1}, {"units": 3, "recurrent_dropout": 0.0}),
        (
            "TimeDistributed",
            {"layer": {"class_name": "Dropout", "config": {"rate": 0.2}}},
            {"layer": {"class_name": "Dropout", "config": {"rate": 0.9}}},
        ),
    ],
)
def test_what_only_training_uses_stays_out(class_name: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    assert layer_digest(class_name, one, None) == layer_digest(class_name, other, None)


def test_a_change_in_one_layer_changes_the_trunks_above_it_and_no_other() -> None:
    before, after = trunk_digests(two_layers()), trunk_digests(two_layers(top_weights=b"retrained"))
    assert {ref.layer for ref in before if before[ref] != after[ref]} == {"top"}


def test_names_never_enter_a_trunk_digest() -> None:
    manifest = two_layers()
    low, top = manifest.layers
    renamed = replace(
        manifest,
        inputs=(Input("image", (3,), "float32"),),
        layers=(
            replace(low, name="l1", trainable=False, calls=(Call([{"tensor": ["image", 0, 0]}]),)),
            replace(top, name="l2", calls=(Call([{"tensor": ["l1", 0, 0]}]),)),
        ),
        outputs=(TensorRef("l2"),),
    )
    assert trunk_digests(renamed)[TensorRef("l2")] == trunk_digests(manifest)[TensorRef("top")]


@pytest.mark.parametrize(
    "change",
    [
        {"preprocessing": Preprocessing(scale=1 / 255)},
        {"inputs": (Input("x", (None,), "float32"),)},
        {"inputs": (Input("x", (3,), "float64"),)},
        {"inputs": (Input("other", (3,), "float32"), Input("x", (3,), "float32"))},
    ],
)
def test_another_input_is_another_trunk(change: dict[str, Any]) -> None:
    assert trunk_digests(two_layers(**change))[TensorRef("low")] != trunk_digests(two_layers())[TensorRef("low")]


def test_each_output_of_a_call_is_a_trunk_of_its_own() -> None:
    digests = trunk_digests(two_layers(outputs=(TensorRef("top"), TensorRef("top", 0, 1))))
    assert digests[TensorRef("top")] != digests[TensorRef("top", 0, 1)]


def test_another_order_of_arguments_is_another_trunk() -> None:
    def subtract(*refs: str) -> str:
        manifest = two_layers()
        call = Call([[{"tensor": [ref, 0, 0]} for ref in refs]])
        layer = Layer("minus", "Subtract", {}, layer_digest("Subtract", {}, None), None, (), True, (call,))
        manifest = replace(manifest, layers=(*manifest.layers, layer), outputs=(TensorRef("minus"),))
        return trunk_digests(manifest)[TensorRef("minus")]

    assert subtract("low", "top") != subtract("top", "low")


FLIP: dict[str, Any] = {"dtype": "float32", "mode": "horizontal", "seed": 3}


def under_dense(*below: tuple[str, dict[str, Any]], dtype: str = "float32") -> Manifest:
    """An image, layers without weights on it one after the other, and a dense layer."""
    layers, last = [], "x"
    blob = digest_of(b"weights")
    for number, (class_name, config) in enumerate([*below, ("Dense", DENSE)]):
        kept = blob if class_name == "Dense" else None
        digest = layer_digest(class_name, config, kept)
        calls = (Call([{"tensor": [last, 0, 0]}]),)
        last = f"layer{number}" if class_name != "Dense" else "top"
        layers.append(Layer(last, class_name, config, digest, kept, (), True, calls))
    return Manifest((Input("x", (4, 4, 3), dtype),), tuple(layers), (TensorRef("top"),))


def top(manifest: Manifest) -> str:
    return trunk_digests(manifest)[TensorRef("top")]


@pytest.mark.parametrize(
    ("class_name", "config"),
    [
        ("RandomFlip", FLIP),
        ("RandomColorJitter", {"dtype": "float32", "hue_factor": 0.1}),
        ("Dropout", {"dtype": "float32", "rate": 0.5}),
        ("GaussianNoise", {"dtype": "float32", "stddev": 0.5}),
        ("ActivityRegularization", {"dtype": "float32", "l1": 0.5}),
    ],
)
def test_what_does_nothing_in_inference_mode_leaves_no_trace_in_a_trunk_digest(
    class_name: str, config: dict[str, Any]
) -> None:
    assert top(under_dense((class_name, config))) == top(under_dense())


@pytest.mark.parametrize(
    ("class_name", "config", "dtype"),
    [
        ("RandomFlip", FLIP, "uint8"),
        ("RandomFlip", FLIP, "float64"),
        ("Dropout", {"dtype": "mixed_float16", "rate": 0.5}, "float32"),
        ("Dropout", {"rate": 0.5}, "float32"),
        ("RandomCrop", {"dtype": "float32", "height": 4, "width": 4, "seed": 1}, "float32"),
        ("ReLU", {"dtype": "float32"}, "float32"),
    ],
)
def test_what_casts_or_changes_its_input_leaves_one(class_name: str, config: dict[str, Any], dtype: str) -> None:
    assert top(under_dense((class_name, config), dtype=dtype)) != top(under_dense(dtype=dtype))


def test_a_layer_that_loses_a_mask_does_something() -> None:
    masking = ("Masking", {"dtype": "float32", "mask_value": 0.0})
    assert top(under_dense(masking, ("RandomFlip", FLIP))) != top(under_dense(masking))
    assert top(under_dense(masking, ("Dropout", {"dtype": "float32", "rate": 0.1}))) == top(under_dense(masking))


def test_a_view_digest_holds_what_a_random_layer_draws() -> None:
    views = {
        view_digests(under_dense(("RandomFlip", {**FLIP, **change})))[TensorRef("top")]
        for change in ({}, {"seed": 4}, {"mode": "vertical"}, {"seed": None})
    }
    assert len(views) == 4
    assert top(under_dense()) not in views


def test_what_no_random_layer_lies_below_has_its_trunk_digest_in_every_view() -> None:
    manifest = under_dense(("ReLU", {"dtype": "float32"}), ("Dropout", {"dtype": "float32"}), ("RandomFlip", FLIP))
    trunks, views = trunk_digests(manifest), view_digests(manifest)
    assert {ref.layer for ref in trunks if trunks[ref] != views[ref]} == {"layer2", "top"}
