"""Folders of transformers and timm become layers of Keras that compute what PyTorch computed."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign.formats import format_of
from frostline_zoo.graph import cut_through
from frostline_zoo.identity import trunk_digests
from frostline_zoo.preprocessing import Preprocessing
from tests.zoo.hugging_face_samples import (
    NAMES,
    arrays_of,
    draft_of,
    given,
    members,
    unpacked,
    wanted,
    with_arrays,
    with_config,
)
from tests.zoo.onnx_samples import imported

TOLERANCE = 1e-5


def outputs(network: Any, x: Any) -> list[Any]:
    import keras

    return [np.asarray(each) for each in keras.tree.flatten(network(x, training=False))]


@pytest.mark.keras
@pytest.mark.parametrize("name", NAMES)
def test_a_network_computes_what_pytorch_computed(name: str) -> None:
    made = outputs(imported(draft_of(members(name))).model, given(name))
    for one, expected in zip(made, wanted(name), strict=True):
        np.testing.assert_allclose(one, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_the_report_accounts_for_every_array(name: str) -> None:
    files = members(name)
    report = draft_of(files).report
    left = {each for each in arrays_of(files) if each.endswith(".num_batches_tracked")}
    assert {theirs for theirs, _ in report.renamed} == set(arrays_of(files)) - left
    assert (report.matched, report.unexpected, report.differing) == ([], [], [])
    told = [note for note in report.notes if "num_batches_tracked" in note]
    assert len(told) == bool(left)
    assert all(f" and {len(left) - 1} like it were left out: Keras does not count" in note for note in told)


def test_attention_without_biases_has_zeros_that_the_report_calls_missing() -> None:
    report = draft_of(members("vit_classes")).report
    ends = ("bias", "bias_1", "bias_2")
    assert report.missing == [f"encoder.layer.{at}.attention/{end}" for at in range(2) for end in ends]
    assert all(draft_of(members(name)).report.missing == [] for name in NAMES if name != "vit_classes")


def test_layers_are_plain_ones_by_their_names_in_the_file() -> None:
    layers = {layer.name: layer.class_name for layer in draft_of(members("bert")).layers}
    first = {name: kind for name, kind in layers.items() if name.startswith("encoder.layer.0.")}
    assert first == {
        "encoder.layer.0.attention": "MultiHeadAttention",
        "encoder.layer.0.attention.dropout": "Dropout",
        "encoder.layer.0.attention.sum": "Add",
        "encoder.layer.0.attention.output.LayerNorm": "LayerNormalization",
        "encoder.layer.0.intermediate.dense": "Dense",
        "encoder.layer.0.intermediate.dense.activation": "Activation",
        "encoder.layer.0.output.dense": "Dense",
        "encoder.layer.0.output.dense.dropout": "Dropout",
        "encoder.layer.0.sum": "Add",
        "encoder.layer.0.output.LayerNorm": "LayerNormalization",
    }
    assert layers["embeddings.position_embeddings"] == layers["embeddings.word_embeddings"] == "Embedding"


def test_names_that_older_files_have_and_buffers_that_they_hold_are_known() -> None:
    files = members("bert")
    arrays = arrays_of(files)
    norms = {name: array for name, array in arrays.items() if "LayerNorm" in name}
    older = {name.replace("weight", "gamma").replace("bias", "beta"): array for name, array in norms.items()}
    buffer = {"embeddings.position_ids": np.arange(24)[None]}
    old = draft_of(with_arrays(files, {**dict.fromkeys(norms), **older, **buffer}))
    new = draft_of(files)
    assert [layer.weights for layer in old.layers if not layer.weights] == [
        () for layer in new.layers if not layer.weights
    ]
    for one, other in zip(old.layers, new.layers, strict=True):
        assert all(map(np.array_equal, one.weights, other.weights))
    assert any(note.startswith("'embeddings.position_ids' was left out") for note in old.report.notes)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_weights_of_half_precision_are_taken_in_as_float32(dtype: Any) -> None:
    files = members("distilbert_classes")
    header, body = {}, b""
    for name, array in arrays_of(files).items():
        content = array.astype(dtype).tobytes()
        word = {"float16": "F16", "bfloat16": "BF16"}[np.dtype(dtype).name]
        header[name] = {"dtype": word, "shape": array.shape, "data_offsets": [len(body), len(body) + len(content)]}
        body += content
    text = json.dumps(header).encode()
    draft = draft_of({**files, "model.safetensors": struct.pack("<Q", len(text)) + text + body})
    assert {array.dtype.name for layer in draft.layers for array in layer.weights} == {"float32"}
    assert f"weights of {np.dtype(dtype).name} were taken in as float32" in draft.report.notes


def test_what_a_network_takes_is_told() -> None:
    text, image = draft_of(members("roberta_words")), draft_of(members("resnet"))
    assert [(each.name, each.shape, each.dtype) for each in text.inputs] == [("input_ids", (None,), "int32")]
    assert "the input is token ids, up to 22 of them; id 1 is padding, which nothing attends to" in text.report.notes
    assert [(each.name, each.shape) for each in image.inputs] == [("pixel_values", (32, 32, 3))]
    turned = [note for note in image.report.notes if "channels last" in note]
    last = "encoder.stages.1.layers.1.activation"
    assert turned == [
        "input 'pixel_values' is taken with its channels last",
        f"output {last!r} is put out with its channels last",
    ]


def test_the_image_processor_becomes_the_preprocessing() -> None:
    files = members("vit_classes")
    made = draft_of(files).preprocessing
    assert made == Preprocessing(1 / 255 / 0.2, (-2.5, -2.0, -(0.3 / 0.2)), "bicubic")
    pixels, x = np.array([0.0, 128.0, 255.0]), np.array(made.offset)
    np.testing.assert_allclose(pixels * made.scale + x, (pixels / 255 - [0.5, 0.4, 0.3]) / 0.2, atol=1e-12)
    plain = draft_of(with_config(files, "preprocessor_config.json", do_rescale=False, do_normalize=False, resample=4))
    assert plain.preprocessing == Preprocessing()
    assert "images are resized bilinearly, not by Pillow's filter 4" in plain.report.notes
    without = draft_of({name: content for name, content in files.items() if "preprocessor" not in name})
    assert without.preprocessing == Preprocessing()
    assert any("the folder has no preprocessor_config.json" in note for note in without.report.notes)


@pytest.mark.parametrize(
    ("said", "size"),
    [
        ({"size": 64}, (64, 64)),
        ({"size": [64, 48]}, (64, 48)),
        ({"size": {"shortest_edge": 64}}, (64, 64)),
        ({"size": {"height": 64, "width": 48}, "crop_size": 32}, (32, 32)),
        ({"size": 64, "crop_size": {"height": 48, "width": 32}, "do_center_crop": True}, (48, 32)),
        ({"size": 64, "crop_size": 32, "do_center_crop": False}, (64, 64)),
        ({"size": None}, (224, 224)),
    ],
)
def test_the_image_processor_says_the_size_of_images_as_any_age_of_transformers_wrote_it(
    said: dict[str, Any], size: tuple[int, int]
) -> None:
    made = draft_of(with_config(members("resnet"), "preprocessor_config.json", **said))
    assert [each.shape for each in made.inputs] == [(*size, 3)]


def test_timms_older_configurations_say_of_the_weights_what_they_say_at_all() -> None:
    files = members("timm_resnet18")
    today = json.loads(files["config.json"])
    older = {"architecture": today["architecture"], **today["pretrained_cfg"]}
    one, other = (draft_of({**files, "config.json": json.dumps(each).encode()}) for each in (today, older))
    assert (one.inputs, one.preprocessing) == (other.inputs, other.preprocessing)


def test_timms_means_and_deviations_become_the_preprocessing() -> None:
    draft = draft_of(members("timm_resnet18"))
    np.testing.assert_allclose(draft.preprocessing.scale, 1 / 255 / np.array([0.229, 0.224, 0.225]))
    np.testing.assert_allclose(draft.preprocessing.offset, -np.array([0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225])
    assert draft.preprocessing.interpolation == "bicubic"
    assert "images are resized whole: timm would crop them at the edges" in draft.report.notes


@pytest.mark.parametrize("name", ["config.json", "", "bert/config.json"])
@pytest.mark.parametrize(
    "start", [b'{"model_type": "bert"}', b'{\n  "architectures": [', b"\n{" + b" " * 20, b'{"x":  {"y": 1}']
)
def test_a_configuration_is_known_by_its_first_bytes(name: str, start: bytes) -> None:
    assert format_of(name, start[:16]) == "huggingface"
    assert format_of(name, start[:16], "huggingface") == "huggingface"
    with pytest.raises(InvalidError, match="not onnx but huggingface"):
        format_of(name, start[:16], "onnx")


def test_a_tensor_file_whose_length_looks_like_an_object_is_none() -> None:
    assert format_of("", b'{"\0\0\0\0\0\0{"a": {"') == "safetensors"


@pytest.mark.keras
@pytest.mark.parametrize("name", ["bert", "distilbert_classes", "roberta_classes"])
def test_any_number_of_places_is_taken_and_padding_changes_nothing(name: str) -> None:
    network = imported(draft_of(members(name)))
    padding = 1 if name.startswith("roberta") else 0
    ids = given(name)[:1]
    longer = np.pad(ids, ((0, 0), (0, 5)), constant_values=padding)
    short, long = (outputs(network.model, each)[-1] for each in (ids, longer))
    np.testing.assert_allclose(short, long[:, :10] if long.ndim == 3 else long, atol=TOLERANCE)
    other = outputs(network.model, np.pad(ids, ((0, 0), (0, 5)), constant_values=7))[-1]
    assert np.abs(short - (other[:, :10] if other.ndim == 3 else other)).max() > 1e-3


@pytest.mark.keras
@pytest.mark.parametrize(("name", "longest"), [("bert", 24), ("distilbert_words", 24), ("roberta_words", 22)])
def test_more_places_than_a_network_knows_are_refused(name: str, longest: int) -> None:
    network = imported(draft_of(members(name)))
    outputs(network.model, np.full((2, longest), 5, np.int32))
    with pytest.raises(Exception, match="total size of the tensor"):
        outputs(network.model, np.full((2, longest + 1), 5, np.int32))


@pytest.mark.keras
@pytest.mark.parametrize("name", ["bert", "roberta_classes", "deit_classes", "timm_vit", "timm_resnet50d"])
def test_the_head_of_the_trunk_is_the_network_at_every_legal_cut(name: str) -> None:
    from frostline_zoo.networks.split import split

    network, x, legal = imported(draft_of(members(name))), given(name), 0
    expected = outputs(network.model, x)
    for layer in network.manifest.layers:
        try:
            cut = cut_through(network.manifest, [layer.name])
        except InvalidError:
            continue
        parts, legal = split(network, cut), legal + 1
        inputs = {entry.name for entry in network.manifest.inputs}
        crossing = outputs(parts.trunk, x) if parts.trunk else [x for ref in cut.frontier if ref.layer in inputs]
        made = outputs(parts.head, crossing if len(crossing) > 1 else crossing[0])
        for one, other in zip(made, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
    assert legal > 0.8 * len(network.manifest.layers)


@pytest.mark.keras
def test_a_residual_network_takes_images_of_another_size() -> None:
    from frostline_zoo.networks.build import build
    from frostline_zoo.networks.describe import describe
    from frostline_zoo.surgery import with_input

    described = describe(imported(draft_of(members("timm_resnet50d"))).model)
    larger = build(with_input(described.manifest, (64, 48, 3)), described.blobs.__getitem__)
    assert outputs(larger.model, np.zeros((2, 64, 48, 3), np.float32))[0].shape == (2, 3)


@pytest.mark.keras
def test_one_weight_of_an_attention_apart_is_another_digest_from_there_on() -> None:
    files = members("vit")
    name = "encoder.layer.1.attention.attention.value.bias"
    changed = arrays_of(files)[name].copy()
    changed[3] += 1e-3
    one, other = (
        trunk_digests(imported(draft_of(each)).manifest) for each in (files, with_arrays(files, {name: changed}))
    )
    apart = {ref.layer for ref in one if one[ref] != other[ref]}
    assert "encoder.layer.1.attention" in apart
    assert "layernorm" in apart
    assert not any(
        layer.startswith(("encoder.layer.0", "embeddings", "encoder.layer.1.layernorm_before")) for layer in apart
    )


@pytest.mark.keras
def test_heads_and_bodies_share_the_layers_that_are_the_same() -> None:
    body, whole = (imported(draft_of(members(name))).manifest for name in ("bert", "bert_pretraining"))
    shared = {layer.digest for layer in whole.layers}
    # One seed drew both, array by array; the head's drew the words anew, which are its last kernel too.
    assert [layer.name for layer in body.layers if layer.digest not in shared] == ["embeddings.word_embeddings"]


@pytest.mark.keras
@pytest.mark.parametrize("name", ["bert_pretraining", "roberta_classes", "vit", "timm_resnet50d"])
def test_every_export_computes_the_same_and_plain_keras_reads_it(name: str, tmp_path: Path) -> None:
    import keras
    import tensorflow as tf

    from frostline_zoo.networks.export import export_network, output_names
    from frostline_zoo.networks.importer import import_network

    folder = unpacked(name, tmp_path)
    made = import_network(
        folder / "config.json", beside=[file for file in folder.iterdir() if file.name != "config.json"]
    )
    network, x = imported(draft_of(members(name))), given(name)
    expected = outputs(network.model, x)
    for format in ("keras", "saved_model", "safetensors", "onnx"):
        export_network(network, format, tmp_path / f"out.{format}")
    loaded = outputs(keras.models.load_model(tmp_path / "out.keras"), x)
    served = tf.saved_model.load(tmp_path / "out.saved_model").signatures["serving_default"](tf.constant(x))
    file = onnx.load(tmp_path / "out.onnx")
    evaluated = ReferenceEvaluator(file).run(None, {file.graph.input[0].name: x})
    for at, output in enumerate(output_names(network.manifest)):
        np.testing.assert_allclose(evaluated[at], expected[at], atol=TOLERANCE)
        np.testing.assert_allclose(loaded[at], expected[at], atol=1e-6)
        np.testing.assert_allclose(served[output], expected[at], atol=TOLERANCE)
    again = import_network(tmp_path / "out.keras", preprocessing=made.manifest.preprocessing)
    assert again.manifest.encode() == made.manifest.encode()
