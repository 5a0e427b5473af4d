"""The .keras importer: what it takes in, and what it refuses without running any of it."""

from __future__ import annotations

import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_zoo.errors import ExhaustedError, InvalidError, ZooError
from frostline_zoo.preprocessing import Preprocessing

pytestmark = pytest.mark.keras

Config = dict[str, Any]
EVIL = {"module": "os", "class_name": "function", "config": "evil", "registered_name": "evil"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained network as Keras saves it: dense, normalized, with an optimizer's state."""
    import keras

    layers = keras.layers
    stack = [keras.Input((4,)), layers.Dense(3, activation="relu", name="low"), layers.BatchNormalization(name="norm")]
    model = keras.Sequential([*stack, layers.Dense(2, activation="softmax", name="top")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(np.ones((4, 4)), np.zeros(4), verbose=0)
    path = tmp_path_factory.mktemp("saved") / "network.keras"
    model.save(path)
    return path


def imported(path: Path, **options: Any) -> Any:
    from frostline_zoo.networks.importer import import_network

    return import_network(path, **options)


def refusal(path: Path, **options: Any) -> str:
    """Returns why a file is refused; fails where it is taken in, or where the reason is not one line for people."""
    with pytest.raises(ZooError) as refused:
        imported(path, **options)
    assert "\n" not in refused.value.message
    assert str(path) not in refused.value.message
    return refused.value.reason


def rewritten(path: Path, target: Path, change: Callable[[Config], None]) -> Path:
    """Copies a .keras file with its configuration changed."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            copy.writestr(name, content)
    return target


def layer_of(config: Config, name: str) -> Config:
    found: Config = next(layer for layer in config["config"]["layers"] if layer["config"]["name"] == name)
    return found


def test_a_saved_network_is_imported_and_computes_the_same(saved: Path) -> None:
    import keras

    from frostline_zoo.networks.build import build

    network = imported(saved)
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    model = build(network.manifest, network.blobs.__getitem__).model
    np.testing.assert_allclose(model(x), keras.models.load_model(saved)(x), rtol=1e-6, atol=1e-6)
    assert [layer.name for layer in network.manifest.layers] == ["low", "norm", "top"]


def test_an_optimizer_state_is_left_out_with_a_note(saved: Path) -> None:
    assert any("optimizer" in note for note in imported(saved).notes)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_have_a_note(tmp_path: Path, value: float) -> None:
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="low"), keras.layers.Dense(2)])
    model.layers[0].kernel.assign(np.array([[value, 1.0]] + [[0.0, 1.0]] * 3, np.float32))
    model.save(tmp_path / "x.keras")
    assert imported(tmp_path / "x.keras").notes == ["low/kernel holds NaN or infinity: its outputs will, too"]


def test_the_preprocessing_becomes_part_of_the_manifest(saved: Path) -> None:
    assert imported(saved, preprocessing=Preprocessing(scale=1 / 255)).manifest.preprocessing.scale == 1 / 255


def test_a_preprocessing_of_other_channels_is_refused(saved: Path) -> None:
    assert refusal(saved, preprocessing=Preprocessing(scale=(1.0, 2.0, 3.0))) == "BAD_SHAPE"


def test_masks_cross_nested_models_and_wrappers(tmp_path: Path) -> None:
    import keras

    from frostline_zoo.networks.build import build

    layers = keras.layers
    words = keras.Input((6,), name="words")
    read = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(layers.Embedding(10, 4, mask_zero=True)(words))
    inner = keras.Sequential([keras.Input((6, 6)), layers.TimeDistributed(layers.Dense(3)), layers.Dropout(0.1)])
    with warnings.catch_warnings(action="ignore"):
        attended = layers.MultiHeadAttention(2, 2)(inner(read), inner(read))
        model = keras.Model(words, layers.GRU(2)(attended))
        x = np.array([[1, 2, 3, 0, 0, 0], [4, 0, 5, 6, 7, 0]])
        expected = model(x)
        model.save(tmp_path / "text.keras")
        network = imported(tmp_path / "text.keras")
        built = build(network.manifest, network.blobs.__getitem__).model
        np.testing.assert_allclose(built(x), expected, rtol=1e-6, atol=1e-6)


def test_a_lambda_layer_is_refused_and_never_run(tmp_path: Path) -> None:
    import keras

    canary = tmp_path / "ran"
    function = eval(f"lambda x: (open({str(canary)!r}, 'w'), x)[1]")
    stack = [keras.Input((4,)), keras.layers.Lambda(function, output_shape=(4,), name="evil"), keras.layers.Dense(2)]
    keras.Sequential(stack).save(tmp_path / "evil.keras")
    canary.unlink(missing_ok=True)
    with pytest.raises(InvalidError, match=r"layer 'evil' is a Lambda, .* replace it by built-in") as refused:
        imported(tmp_path / "evil.keras")
    assert refused.value.reason == "UNSAFE_LAYER"
    assert not canary.exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"module": "os", "class_name": "system"}, "UNSAFE_LAYER"),
        ({"module": "builtins"}, "UNSAFE_LAYER"),
        ({"module": "keras.utils", "class_name": "get_file"}, "UNSAFE_LAYER"),
        ({"class_name": "TFSMLayer", "config": {"name": "low", "filepath": "/etc"}}, "UNSAFE_LAYER"),
        ({"class_name": "TorchModuleWrapper", "config": {"name": "low", "module": "gASV"}}, "UNSAFE_LAYER"),
        ({"class_name": "StringLookup", "config": {"name": "low", "vocabulary": "/etc/passwd"}}, "UNSAFE_LAYER"),
        ({"registered_name": "mine>Dense", "module": None}, "UNSAFE_LAYER"),
        ({"config": {"name": "../../low", "units": 3}}, "BAD_NAME"),
        (
            {"config": {"name": "low", "units": 3, "activation": {"class_name": "function", "config": "evil"}}},
            "UNSAFE_LAYER",
        ),
        (
            {"config": {"name": "low", "units": 3, "kernel_initializer": {"class_name": "Evil", "config": {}}}},
            "UNSAFE_LAYER",
        ),
        ({"config": {"name": "low", "units": "http://localhost/x"}}, "EXTERNAL_REFERENCE"),
        ({"config": {"name": "low", "units": {"class_name": "__lambda__", "config": {}}}}, "UNSAFE_LAYER"),
        ({"config": {"name": "low", "units": 3, "surprise": 1}}, "BAD_CONFIG"),
        ({"config": {"name": "low", "units": -3}}, "BAD_CONFIG"),
        ({"config": {"name": "low", "units": None}}, "BAD_CONFIG"),
        ({"config": {"name": "low", "units": 4}}, "BAD_WEIGHTS"),
        ({"config": {"name": "low", "units": 200_000_000}}, "LIMIT_PARAMS"),
        ({"config": {"name": "low", "units": 2_000_000_000}}, "LIMIT_OUTPUT"),
        ({"config": {"name": "low", "units": 60_000_000}}, "BAD_WEIGHTS"),
        ({"config": ["not", "an", "object"]}, "BAD_CONFIG"),
        ({"class_name": 7}, "BAD_CONFIG"),
    ],
)
def test_a_layer_that_is_not_what_it_should_be_is_refused(
    saved: Path, tmp_path: Path, change: Config, reason: str
) -> None:
    hostile = rewritten(saved, tmp_path / "x.keras", lambda config: layer_of(config, "low").update(change))
    assert refusal(hostile) == reason


LAMBDA = {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "evil", "function": "x"}}
WRAPPED = {"class_name": "TimeDistributed", "config": {"name": "low", "layer": LAMBDA}}
INNER = {"name": "low", "layers": [LAMBDA], "build_input_shape": [None, 4]}


@pytest.mark.parametrize("change", [WRAPPED, {"class_name": "Sequential", "module": "keras", "config": INNER}])
def test_a_lambda_in_a_wrapper_or_an_inner_network_is_refused(saved: Path, tmp_path: Path, change: Config) -> None:
    hostile = rewritten(saved, tmp_path / "x.keras", lambda config: layer_of(config, "low").update(change))
    assert refusal(hostile) == "UNSAFE_LAYER"


def test_a_network_too_large_costs_no_memory_before_it_is_refused(saved: Path, tmp_path: Path) -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    layer = {"config": {"name": "low", "units": 60_000_000}}
    assert refusal(rewritten(saved, tmp_path / "x.keras", lambda config: layer_of(config, "low").update(layer)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


def archive(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


def test_a_built_in_layer_that_is_not_taken_in_is_not_said_to_hold_code(saved: Path, tmp_path: Path) -> None:
    change = {"class_name": "Discretization", "config": {"name": "low", "bin_boundaries": [0.0]}}
    path = rewritten(saved, tmp_path / "x.keras", lambda config: layer_of(config, "low").update(change))
    with pytest.raises(InvalidError, match="is a Discretization, which is not among the layers taken in: replace it"):
        imported(path)


def test_a_layer_that_does_not_fit_says_on_which_shapes(saved: Path, tmp_path: Path) -> None:
    change = {"class_name": "Conv2D", "config": {"name": "low", "filters": 2, "kernel_size": 3}}
    path = rewritten(saved, tmp_path / "x.keras", lambda config: layer_of(config, "low").update(change))
    with pytest.raises(InvalidError, match=r"does not fit its input of shape \(None, 4\)"):
        imported(path)


@pytest.mark.parametrize("content", [b"\x80\x02pickled", b"archive"])
def test_the_mend_of_a_pickle_is_a_format_that_its_tool_writes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    if content == b"archive":
        archive(path, ("network/data.pkl", b"\x80\x02."))
    else:
        path.write_bytes(content)
    with pytest.raises(InvalidError, match="export it to ONNX or safetensors"):
        imported(path)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("config.json", b"{}"), ("../evil", b"")], "BAD_ARCHIVE"),
        ([("config.json", b"{}"), ("/evil", b"")], "BAD_ARCHIVE"),
        ([("config.json", b"{}"), ("a\\..\\evil", b"")], "BAD_ARCHIVE"),
        ([("config.json", b"{}"), ("config.json", b"{}")], "BAD_ARCHIVE"),
        ([(link("config.json"), b"/etc/passwd")], "BAD_ARCHIVE"),
        ([("model.weights.h5", b"")], "BAD_ARCHIVE"),
        ([("config.json", b"{}" + b" " * (40 << 20))], "LIMIT_INFLATE"),
        ([("config.json", b"[" * 50_000 + b"]" * 50_000)], "LIMIT_DEPTH"),
        ([("config.json", b"[" * 200 + b"]" * 200)], "LIMIT_DEPTH"),
        ([("config.json", b"{not json")], "BAD_JSON"),
        ([("config.json", b'{"class_name": NaN}')], "BAD_JSON"),
        ([("config.json", b"[]"), ("model.weights.h5", b"")], "BAD_CONFIG"),
        ([("network/data.pkl", b"\x80\x02."), ("config.json", b"{}")], "UNSAFE_FORMAT"),
    ],
)
def test_an_archive_that_is_not_a_network_is_refused(tmp_path: Path, members: list[Any], reason: str) -> None:
    assert refusal(archive(tmp_path / "x.keras", *members)) == reason


def test_arrays_are_refused_with_where_they_belong(tmp_path: Path) -> None:
    from frostline_zoo.networks.importer import import_network

    np.savez(tmp_path / "digits.npz", x=np.zeros(3))
    with pytest.raises(InvalidError, match=r"no config\.json, as a \.keras file has: push arrays .* as a dataset"):
        import_network(tmp_path / "digits.npz")


def test_an_encrypted_member_is_refused(saved: Path, tmp_path: Path) -> None:
    content = bytearray(saved.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(signature)
        struct.pack_into("<H", content, at + flags, struct.unpack_from("<H", content, at + flags)[0] | 1)
    (tmp_path / "x.keras").write_bytes(content)
    assert refusal(tmp_path / "x.keras") == "BAD_ARCHIVE"


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    """The second member lies within the first one's bytes, as in archives that unpack to far more than they hold."""
    alone = archive(tmp_path / "alone", ("model.weights.h5", b"weights")).read_bytes()
    within = zipfile.ZipInfo("config.json")  # not packed
    members = ((within, alone[: alone.find(b"PK\x01\x02")]), ("model.weights.h5", b"weights"))
    content = bytearray(archive(tmp_path / "x.keras", *members).read_bytes())
    struct.pack_into("<L", content, content.rfind(b"PK\x01\x02") + 42, 30 + len("config.json"))
    (tmp_path / "x.keras").write_bytes(content)
    with pytest.raises(InvalidError, match="overlaps another"):
        imported(tmp_path / "x.keras")


def test_a_file_cut_short_anywhere_is_refused(saved: Path, tmp_path: Path) -> None:
    content = saved.read_bytes()
    for size in range(1, len(content), max(1, len(content) // 40)):
        (tmp_path / "x.keras").write_bytes(content[:size])
        assert refusal(tmp_path / "x.keras") in ("BAD_ARCHIVE", "UNKNOWN_FORMAT")


def test_weights_cut_short_are_refused(saved: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(saved) as file:
        config, weights = file.read("config.json"), file.read("model.weights.h5")
    for size in (0, 8, 100, len(weights) // 2, len(weights) - 1):
        hostile = archive(tmp_path / "x.keras", ("config.json", config), ("model.weights.h5", weights[:size]))
        assert refusal(hostile) in ("BAD_HDF5", "LIMIT_INFLATE")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "UNKNOWN_FORMAT"),
        (b"hello, world", "UNKNOWN_FORMAT"),
        (b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00.", "UNSAFE_FORMAT"),
        (b"\x1f\x8b\x08\x00garbage", "BAD_ARCHIVE"),
        (b"PK\x03\x04garbage", "BAD_ARCHIVE"),
        (b"\x89HDF\r\n\x1a\ngarbage", "BAD_HDF5"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "x").write_bytes(content)
    assert refusal(tmp_path / "x") == reason


def test_a_format_that_the_file_has_not_is_refused(saved: Path) -> None:
    assert refusal(saved, format="keras_h5") == "UNKNOWN_FORMAT"
    assert refusal(saved, format="onnx") == "UNKNOWN_FORMAT"


def test_a_limit_is_told_apart_from_a_damaged_file(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "x.keras", ("config.json", b"{}" + b" " * (40 << 20)))
    with pytest.raises(ExhaustedError, match="unpacks to"):
        imported(bomb)
