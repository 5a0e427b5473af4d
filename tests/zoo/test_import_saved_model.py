"""SavedModels become layers of Keras that compute the same, named by their scopes and fed by their variables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign.draft import Draft
from frostline_zoo.foreign.saved_model.messages import message
from frostline_zoo.foreign.saved_model_reader import GRAPH, read_saved_model
from frostline_zoo.foreign.tarball import members_of

FOLDER = Path(__file__).parent / "saved_models"
ASSETS = Path(os.environ.get("FROSTLINE_ASSETS", Path(__file__).parents[3] / "shared" / "assets"))
NAMES = ["branches", "module", "scopes", "sequence", "shared"]


def read(name: str) -> Draft:
    return read_saved_model({"a.tar.gz": (FOLDER / f"{name}.tar.gz").read_bytes()}, "a.tar.gz")


def folder(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def classes(draft: Draft) -> dict[str, str]:
    return {layer.name: layer.class_name for layer in draft.layers}


def test_a_keras_network_comes_back_layer_by_layer() -> None:
    assert classes(read("branches")) == {
        "rescaling": "Rescaling",
        "stem": "Conv2D",
        "stem_bn": "BatchNormalization",
        "stem_relu": "Activation",
        "zero_padding2d": "ZeroPadding2D",
        "dw": "DepthwiseConv2D",
        "leaky": "LeakyReLU",
        "sep": "SeparableConv2D",
        "sum": "Add",
        "dilated": "Conv2D",
        "grouped": "Conv2D",
        "cat": "Concatenate",
        "pool": "MaxPooling2D",
        "flat": "Flatten",
        "h": "Dense",
        "h_bn": "BatchNormalization",
        "up": "Conv2DTranspose",
        "gap": "GlobalAveragePooling2D",
        "both": "Concatenate",
        "classes": "Dense",
        "box": "Dense",
    }


def test_what_tensorflow_does_with_an_axis_added_becomes_layers_of_one_axis() -> None:
    assert list(classes(read("sequence")).values()) == [
        *("Conv1D", "MaxPooling1D", "Dense", "Reshape", "Permute", "GlobalMaxPooling1D", "Dense")
    ]


def test_a_layer_that_is_used_twice_stays_one_layer() -> None:
    inner = next(layer for layer in read("shared").layers if layer.name.endswith("inner"))
    assert len(inner.calls) == 2


def test_layers_of_other_graphs_are_named_by_their_scopes() -> None:
    assert list(classes(read("scopes"))) == [
        "conv1",
        "conv2",
        "conv2.FusedBatchNormV3",
        "conv2.Relu",
        "pool5",
        "logits",
    ]


def test_the_report_names_every_variable() -> None:
    report = read("scopes").report
    assert ("net/conv1/weights", "conv1/kernel") in report.renamed
    assert len(report.renamed) == 8
    assert read("branches").report.unexpected == ["seed_generator/seed_generator_state"]


def test_a_folder_is_read_as_its_tarball_is() -> None:
    files = members_of((FOLDER / "module.tar.gz").read_bytes())
    assert read_saved_model(files, "module/saved_model.pb").layers[0].name == read("module").layers[0].name


def test_every_cut_and_every_flipped_bit_of_a_checkpoint_is_noticed() -> None:
    files = members_of((FOLDER / "module.tar.gz").read_bytes())
    for name in ("module/variables/variables.index", "module/variables/variables.data-00000-of-00001"):
        for at in range(0, 80, 7):
            injured = bytearray(files[name])
            injured[at] ^= 16
            for content in (bytes(injured), files[name][:at]):
                with pytest.raises(InvalidError) as refusal:
                    read_saved_model({**files, name: content}, "module/saved_model.pb")
                assert refusal.value.reason == "BAD_CHECKPOINT"


def outputs(draft: Draft, arrays: Any) -> list[Any]:
    from frostline_zoo.networks.build import build
    from frostline_zoo.networks.describe import describe
    from frostline_zoo.networks.drafts import build_draft

    model, values = build_draft(draft)
    described = describe(model, value_of=values.of)
    network = build(described.manifest, described.blobs.__getitem__)
    given = [arrays.get(f"x_{entry.name}", arrays.get("x")) for entry in draft.inputs]
    made = network.model(given if len(given) > 1 else given[0], training=False)
    return [np.asarray(each) for each in (made if isinstance(made, list | tuple) else [made])]


@pytest.mark.keras
@pytest.mark.parametrize("name", NAMES)
def test_a_network_computes_what_tensorflow_computed(name: str) -> None:
    arrays = dict(np.load(FOLDER / f"{name}.npz"))
    wanted = [arrays[key] for key in sorted(arrays) if key.startswith("y_")]
    for made, expected in zip(outputs(read(name), arrays), wanted, strict=True):
        np.testing.assert_allclose(made, expected, atol=1e-6)


@pytest.mark.keras
def test_what_is_exported_comes_in_again_although_layers_look_alike(tmp_path: Path) -> None:
    import keras

    from frostline_zoo.networks.build import build
    from frostline_zoo.networks.describe import describe
    from frostline_zoo.networks.export import export_network

    def twice(kind: str, *arguments: Any) -> list[Any]:
        named = (f"{kind}-{number}" for number in "ab")
        return [getattr(keras.layers, kind)(*arguments, activation="tanh", name=name) for name in named]

    alike = [*twice("Conv2D", 4, 3), keras.layers.Flatten(name="flat"), keras.layers.Dropout(0.5), *twice("Dense", 36)]
    described = describe(keras.Sequential([keras.Input((7, 7, 4)), *alike]))
    network = build(described.manifest, described.blobs.__getitem__)
    export_network(network, "saved_model", tmp_path / "out")
    draft = read_saved_model(folder(tmp_path / "out"), "saved_model.pb")
    x = np.random.default_rng(0).normal(size=(5, 7, 7, 4)).astype(np.float32)
    np.testing.assert_allclose(outputs(draft, {"x": x})[0], network.model(x, training=False), atol=1e-6)
    assert [layer.name for layer in draft.layers] == [
        layer.name for layer in network.manifest.layers if layer.class_name != "Dropout"
    ]


@pytest.mark.keras
@pytest.mark.parametrize("dtype", ["float16", "mixed_float16", "mixed_bfloat16"])
def test_numbers_of_less_precision_are_taken_as_float32(tmp_path: Path, dtype: str) -> None:
    import keras

    layers = keras.layers
    stack = [
        layers.Rescaling(0.5, dtype=dtype),
        layers.Conv2D(4, 3, activation="relu", dtype=dtype),
        layers.BatchNormalization(dtype=dtype),
        layers.GlobalAveragePooling2D(dtype=dtype),
        layers.Dense(3, dtype=dtype),
        layers.Softmax(),
    ]
    network = keras.Sequential([keras.Input((6, 6, 2)), *stack])
    network.export(tmp_path / "out", verbose=False)
    draft = read_saved_model(folder(tmp_path / "out"), "saved_model.pb")
    x = np.random.default_rng(0).normal(size=(5, 6, 6, 2)).astype(np.float32)
    np.testing.assert_allclose(outputs(draft, {"x": x})[0], network(x, training=False), atol=5e-3)
    assert f"numbers of {dtype.removeprefix('mixed_')} are taken as float32" in draft.report.notes


@pytest.mark.keras
def test_variables_of_one_name_stay_apart(tmp_path: Path) -> None:
    import tensorflow as tf

    class Product(tf.Module):
        def __init__(self) -> None:
            chance = np.random.default_rng(0)
            self.a, self.b = (tf.Variable(chance.normal(size=(6, 6)).astype(np.float32), name="w") for _ in "ab")

        @tf.function(input_signature=[tf.TensorSpec((None, 6))])
        def __call__(self, x: Any) -> Any:
            return (x @ self.a) @ self.b

    product, x = Product(), np.eye(6, dtype=np.float32)
    tf.saved_model.save(product, tmp_path / "out", signatures=product.__call__)
    draft = read_saved_model(folder(tmp_path / "out"), "saved_model.pb")
    np.testing.assert_allclose(outputs(draft, {"x": x})[0], product(x), atol=1e-5)


@pytest.fixture
def kws() -> Path:
    path = ASSETS / "networks" / "kws_saved_model"
    if not path.is_dir():
        pytest.skip("needs the shared assets")
    return path


@pytest.mark.keras
@pytest.mark.real_assets
def test_the_keyword_spotter_gives_its_reference_outputs(kws: Path) -> None:
    arrays = dict(np.load(ASSETS / "reference" / "kws_saved_model.npz"))
    draft = read_saved_model(folder(kws), "saved_model.pb")
    np.testing.assert_allclose(outputs(draft, arrays)[0], arrays["y"], atol=1e-5)
    assert [layer.config["rate"] for layer in draft.layers if layer.class_name == "Dropout"] == [0.2, 0.4]


def test_the_signature_of_older_networks_of_tf_hub_is_taken_where_there_is_no_other() -> None:
    files = members_of((FOLDER / "scopes.tar.gz").read_bytes())
    graph = next(name for name in files if name.endswith(GRAPH))
    saved = message("SavedModel", files[graph], "the graph")
    for entry in [entry for meta in saved.meta_graphs for entry in meta.signatures if entry.key == "serving_default"]:
        entry.key = "default"
    draft = read_saved_model({**files, graph: saved.SerializeToString()}, graph)
    assert classes(draft) == classes(read("scopes"))
