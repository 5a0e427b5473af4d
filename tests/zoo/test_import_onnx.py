"""ONNX files: what becomes of their graphs, and what of everything in them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from frostline_zoo.foreign.files import Files
from frostline_zoo.foreign.onnx_graph.graph import NEWEST_OPSET
from frostline_zoo.foreign.onnx_reader import read_onnx
from tests.zoo.onnx_samples import computed, draft_of, expected, files_of, imported, model, node, numbers

ASSETS = Path(os.environ.get("FROSTLINE_ASSETS", Path(__file__).parents[3] / "shared" / "assets"))
HAS_ASSETS = pytest.mark.skipif(not ASSETS.is_dir(), reason="neither $FROSTLINE_ASSETS nor ../shared/assets is there")


def classes(draft: object) -> list[str]:
    return [layer.class_name for layer in draft.layers]  # type: ignore[attr-defined]


def test_the_newest_opset_that_the_onnx_package_knows_is_the_newest_taken_in() -> None:
    """A new release of onnx brings new meanings of operators: read them, then raise the number."""
    assert onnx.defs.onnx_opset_version() == NEWEST_OPSET


def test_batch_normalization_stays_a_layer_that_trains() -> None:
    made = model(
        [node("Conv", "x block.conv.weight -> c"), node("BatchNormalization", "c block.bn.weight b m v -> y")],
        (1, 3, 8, 8),
        {"block.conv.weight": numbers(4, 3, 3, 3)} | {name: numbers(4) for name in ("block.bn.weight", "b", "m", "v")},
    )
    draft = draft_of(made)
    assert [(layer.name, layer.class_name) for layer in draft.layers] == [
        ("block.conv", "Conv2D"),
        ("block.bn", "BatchNormalization"),
    ]
    assert ("block.conv.weight", "block.conv/kernel") in draft.report.renamed
    assert ("v", "block.bn/moving_variance") in draft.report.renamed


def flattened(batch: int | str) -> onnx.ModelProto:
    """What exporters make of x.view(x.size(0), -1): the shape is computed node by node."""
    zero, minus = np.array(0), np.array([-1])
    nodes = [
        node("Relu", "x -> r"),
        node("Shape", "r -> s"),
        node("Gather", "s zero -> n"),
        node("Unsqueeze", "n axes -> u"),
        node("Concat", "u minus -> to", axis=0),
        node("Reshape", "r to -> y"),
    ]
    return model(nodes, (batch, 3, 4, 5), {"zero": zero, "axes": np.array([0]), "minus": minus})


@pytest.mark.keras
@pytest.mark.parametrize("batch", [1, 2, "examples"])
def test_shapes_that_are_computed_are_folded_away(batch: int | str) -> None:
    made, x = flattened(batch), numbers(batch if isinstance(batch, int) else 3, 3, 4, 5)
    draft = draft_of(made)
    np.testing.assert_array_equal(computed(draft, x)[0], expected(made, x)[0])
    assert "4 nodes that compute with constants were computed once and left out" in draft.report.notes[0]


@pytest.mark.keras
def test_an_input_that_is_channels_last_already_stays_so() -> None:
    nodes = [
        node("Transpose", "x -> t", perm=[0, 3, 1, 2]),
        node("Conv", "t w -> c"),
        node("Transpose", "c -> y", perm=[0, 2, 3, 1]),
    ]
    made, x = model(nodes, (2, 6, 5, 3), {"w": numbers(4, 3, 3, 3)}), numbers(2, 6, 5, 3)
    draft = draft_of(made)
    assert draft.inputs[0].shape == (6, 5, 3)
    assert classes(draft) == ["Conv2D"]
    np.testing.assert_allclose(computed(draft, x)[0], expected(made, x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.keras
def test_sides_may_stay_free_where_no_layer_needs_them() -> None:
    pooled = [node("Conv", "x w -> c", pads=[1, 1, 1, 1]), node("GlobalAveragePool", "c -> p")]
    made = model([*pooled, node("Flatten", "p -> y")], ("n", 3, "h", "w"), {"w": numbers(4, 3, 3, 3)})
    draft = draft_of(made)
    for sides in ((8, 6), (5, 9)):
        x = numbers(2, 3, *sides)
        np.testing.assert_allclose(computed(draft, x)[0], expected(made, x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.keras
def test_whole_numbers_look_rows_up() -> None:
    nodes = [node("Gather", "table x -> r"), node("ReduceMean", "r axes -> y", keepdims=0)]
    weights = {"table": numbers(10, 4), "axes": np.array([1])}
    made = model(nodes, ("n", 5), weights, dtype=TensorProto.INT64)
    x = np.random.default_rng(1).integers(0, 10, (3, 5))
    np.testing.assert_allclose(computed(draft_of(made), x)[0], expected(made, x)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.keras
def test_bytes_become_floats_where_the_network_casts_them() -> None:
    nodes = [node("Cast", "x -> f", to=TensorProto.FLOAT), node("Conv", "f w -> y")]
    made = model(nodes, ("n", 3, 6, 6), {"w": numbers(4, 3, 3, 3)}, dtype=TensorProto.UINT8)
    x = np.random.default_rng(1).integers(0, 256, (2, 3, 6, 6)).astype(np.uint8)
    draft = draft_of(made)
    assert draft.inputs[0].dtype == "uint8"
    np.testing.assert_allclose(computed(draft, x)[0], expected(made, x)[0], rtol=1e-5, atol=1e-3)


def test_half_precision_is_taken_in_as_float32_and_said() -> None:
    weights = {"w": numbers(4, 3).astype(np.float16)}
    draft = draft_of(model([node("MatMul", "x w -> y")], (1, 4), weights, dtype=TensorProto.FLOAT16))
    assert draft.layers[0].weights[0].dtype == np.float32
    assert draft.report.notes == [
        "input 'x' is taken as float32 instead of float16",
        "weights of float16 were taken in as float32",
    ]


def test_weights_that_no_node_takes_are_reported() -> None:
    nodes = [node("MatMul", "x w -> y"), node("Relu", "x -> idle")]
    report = draft_of(model(nodes, (1, 4), {"w": numbers(4, 3), "no": numbers(2)})).report
    assert (report.renamed, report.unexpected) == ([("w", "matmul_y/kernel")], ["no"])
    assert report.notes == ["1 nodes that no output needs were left out"]


def test_a_parameter_that_keras_adds_is_reported_as_missing() -> None:
    draft = draft_of(model([node("Add", "x b -> y")], (1, 4), {"b": numbers(4)}))
    assert draft.report.missing == ["add_y/kernel"]
    np.testing.assert_array_equal(draft.layers[0].weights[0], np.ones(4, np.float32))


def external(**entries: str) -> onnx.ModelProto:
    """A model whose kernel stands in another file."""
    made = model([node("MatMul", "x w -> y")], (1, 4), {"w": numbers(4, 3)})
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return made


def test_tensors_beside_the_file_are_found_by_their_exact_name() -> None:
    content = b"--" + numbers(4, 3).tobytes() + b"--"
    made = external(location="net.bin", offset="2", length="48")
    files = files_of(net__onnx=made.SerializeToString(), net__bin=content)
    np.testing.assert_array_equal(read_onnx(files, "net.onnx").layers[0].weights[0], numbers(4, 3))


@pytest.mark.keras
def test_a_file_is_taken_in_by_its_first_bytes(tmp_path: Path) -> None:
    from frostline_zoo.networks.importer import import_network

    made = external(location="net.bin", offset="0", length="48")
    (tmp_path / "net").write_bytes(made.SerializeToString())
    (tmp_path / "net.bin").write_bytes(numbers(4, 3).tobytes())
    taken_in = import_network(tmp_path / "net", beside=[tmp_path / "net.bin"])
    assert [layer.class_name for layer in taken_in.manifest.layers] == ["Dense"]
    assert taken_in.report.renamed == [("w", "matmul_y/kernel")]


@pytest.mark.keras
@pytest.mark.real_assets
@HAS_ASSETS
def test_the_face_detector_gives_its_reference_outputs() -> None:
    path = ASSETS / "networks" / "face_rfb320.onnx"
    draft = read_onnx(Files.of(path), path.name)
    reference = np.load(ASSETS / "reference" / "face_rfb320.onnx.npz")
    network = imported(draft)
    made = network.model(reference["x"].transpose(0, 2, 3, 1), training=False)
    for ref, found in zip(network.manifest.outputs, made, strict=True):
        np.testing.assert_allclose(found, reference[ref.layer], rtol=0, atol=5e-5)
    assert draft.report.missing == []
    assert all(name.endswith("num_batches_tracked") for name in draft.report.unexpected)
