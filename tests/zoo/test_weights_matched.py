"""Weights of other tools put into a network of the zoo: by name, by map, and with a report of everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from frostline_zoo.digests import digest_of
from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign.files import Files, Member
from frostline_zoo.foreign.matching import match_weights
from frostline_zoo.foreign.name_map import rules_of
from frostline_zoo.foreign.tarball import members_of
from frostline_zoo.foreign.weights_reader import read_weights, refuse_weights
from frostline_zoo.identity import layer_digest
from frostline_zoo.manifest import Call, Input, Layer, Manifest, Parameter, TensorRef
from frostline_zoo.refilled import refilled
from frostline_zoo.tensors import decode_tensors, encode_tensors

SAVED_MODELS = Path(__file__).parent / "saved_models"
BLOBS: dict[str, bytes] = {}


def dense(name: str, below: str, inputs: int, units: int) -> Layer:
    zeros = {"kernel": np.zeros((inputs, units), np.float32), "bias": np.zeros(units, np.float32)}
    content = encode_tensors(zeros)
    BLOBS[digest_of(content)] = content
    parameters = tuple(Parameter(key, array.shape, "float32") for key, array in zeros.items())
    digest = layer_digest("Dense", {"units": units}, digest_of(content))
    call = Call([{"tensor": [below, 0, 0]}])
    return Layer(name, "Dense", {"units": units}, digest, digest_of(content), parameters, True, (call,))


BASE = Manifest((Input("x", (4,), "float32"),), (dense("h1", "x", 4, 3), dense("out", "h1", 3, 2)), (TensorRef("out"),))


def ones(*shape: int) -> Any:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_arrays_go_where_their_names_say() -> None:
    arrays = {"h1.kernel": ones(4, 3), "h1/bias:0": ones(3), "out/kernel/.ATTRIBUTES/VARIABLE_VALUE": ones(3, 2)}
    values, report = match_weights(BASE, arrays)
    assert set(values) == {("h1", "kernel"), ("h1", "bias"), ("out", "kernel")}
    assert report.matched == ["h1/kernel", "h1/bias", "out/kernel"]
    assert report.missing == ["out/bias"]


def test_a_map_sends_the_rest_with_their_axes_turned() -> None:
    rules = rules_of(
        {"net/fc*/weight": {"to": "h*/kernel", "permute": [1, 0]}, "net/fc*/bias": "h*/bias", "step": None}
    )
    arrays = {"net/fc1/weight": ones(3, 4), "net/fc1/bias": ones(3), "step": ones()}
    values, report = match_weights(BASE, arrays, rules)
    np.testing.assert_array_equal(values["h1", "kernel"], ones(3, 4).T)
    assert report.renamed == [("net/fc1/weight", "h1/kernel"), ("net/fc1/bias", "h1/bias")]
    assert report.notes[0] == "step was left out, as the map says"


@pytest.mark.parametrize("rules", [{"fc/w": "h1/kernal"}, {"gone": "h1/kernal"}, {"fc/*": "h*/kernal"}])
def test_a_map_to_what_the_network_does_not_have_is_refused_with_the_nearest_names(rules: Any) -> None:
    with pytest.raises(InvalidError, match=r"which the network does not have: .* such as .*h1/kernel") as refusal:
        match_weights(BASE, {"h1/bias": ones(3), "fc/w": ones(4, 3)}, rules_of(rules))
    assert refusal.value.reason == "BAD_MAP"


def test_a_name_in_the_map_that_the_file_does_not_have_is_named() -> None:
    _, report = match_weights(BASE, {"h1/bias": ones(3)}, rules_of({"fc/w": "h1/kernel", "step*": None}))
    assert report.notes[:2] == [f"the map names {name}, which the file does not have" for name in ("fc/w", "step*")]


def test_nothing_is_skipped_in_silence() -> None:
    arrays = {
        "h1/kernel": ones(4, 4),
        "h1/bias": ones(3),
        "other/kernel": ones(3, 2),
        "out/bias": np.zeros(2, np.int64),
    }
    values, report = match_weights(BASE, arrays)
    assert set(values) == {("h1", "bias")}
    assert report.differing == [("h1/kernel", (4, 4), (4, 3))]
    assert report.unexpected == ["other/kernel", "out/bias"]
    assert report.missing == ["out/kernel"]
    assert report.notes == [
        "out/bias holds int64, but out/bias float32",
        "by its shape, other/kernel may be out/kernel: map it to that",
    ]


def test_weights_of_another_network_are_refused_with_a_hint() -> None:
    with pytest.raises(InvalidError, match="fc/w may be h1/kernel") as refusal:
        match_weights(BASE, {"fc/w": ones(4, 3)})
    assert refusal.value.reason == "NO_MATCH"


def test_two_arrays_for_one_parameter_are_refused() -> None:
    with pytest.raises(InvalidError, match="h1/bias") as refusal:
        match_weights(BASE, {"h1/bias": ones(3), "fc/bias": ones(3)}, rules_of({"fc/bias": "h1/bias"}))
    assert refusal.value.reason == "BAD_MAP"


@pytest.mark.parametrize(
    "written",
    [[], {"a": 1}, {1: "a"}, {"a": {"to": "b", "permute": [0, 0]}}, {"a": {"to": "b", "permute": [True]}}, {"a": {}}],
)
def test_maps_that_are_none_are_refused(written: Any) -> None:
    with pytest.raises(InvalidError) as refusal:
        rules_of(written)
    assert refusal.value.reason == "BAD_MAP"


def test_what_gets_no_new_values_keeps_its_digest() -> None:
    values, _ = match_weights(BASE, {"out/bias": ones(2)})
    made, blobs = refilled(BASE, values, BLOBS.__getitem__)
    assert made.layers[0] == BASE.layers[0]
    assert made.layers[1].digest != BASE.layers[1].digest
    assert made.parent == BASE.digest
    stored = decode_tensors(blobs[str(made.layers[1].blob)])
    np.testing.assert_array_equal(stored["bias"], ones(2))
    np.testing.assert_array_equal(stored["kernel"], np.zeros((3, 2)))


def files(**content: bytes) -> Files:
    members, at = [], 0
    for name, each in content.items():
        members.append(Member(name, at, len(each)))
        at += len(each)
    return Files(b"".join(content.values()), members)


def test_safetensors_and_checkpoints_are_read_by_their_names() -> None:
    with read_weights(files(main=save({"h1.bias": ones(3)})), "main", "safetensors") as weights:
        assert set(weights.arrays) == {"h1.bias"}
    saved = members_of((SAVED_MODELS / "scopes.tar.gz").read_bytes())
    with read_weights(files(**saved), "scopes/variables/variables.index", "checkpoint") as weights:
        assert weights.arrays["net/conv1/weights"].shape == (3, 3, 3, 4)
    saved = members_of((SAVED_MODELS / "shared.tar.gz").read_bytes())
    with read_weights(files(**saved), "shared/saved_model.pb", "saved_model") as weights:
        assert weights.arrays["tower/inner/kernel"].shape == (4, 3)


def test_safetensors_alone_are_refused_with_what_is_missing() -> None:
    with pytest.raises(InvalidError, match=r"config\.json that is missing"):
        refuse_weights(files(main=save({"h1.bias": ones(3)})), "main", "safetensors")


@pytest.mark.keras
@pytest.mark.parametrize("name", ["a.weights.h5", "a.h5"])
def test_keras_files_of_weights_fill_a_network_of_the_same_layers(tmp_path: Path, name: str) -> None:
    import keras

    from frostline_zoo.networks.describe import describe

    def network() -> Any:
        inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, name="deep")], name="inner")
        layers = [keras.layers.Dense(3, name="h1"), keras.layers.BatchNormalization(name="bn"), inner]
        return keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(2, name="out")])

    theirs, ours = network(), describe(network()).manifest
    (theirs.save_weights if name.endswith(".weights.h5") else theirs.save)(tmp_path / name)
    with read_weights(Files.of(tmp_path / name), name, "keras_h5") as weights:
        values, report = match_weights(ours, weights.arrays)
    assert report.missing == report.unexpected == report.differing == []
    np.testing.assert_array_equal(values["inner.deep", "kernel"], theirs.get_layer("inner").get_layer("deep").kernel)
    np.testing.assert_array_equal(values["bn", "moving_variance"], theirs.get_layer("bn").moving_variance)
