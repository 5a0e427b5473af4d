"""What fuzzing came upon (`make fuzz`), each in its smallest form: it is refused, by a reason that says what it is."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from frostline_zoo.errors import InvalidError, ZooError
from frostline_zoo.foreign.files import Files
from frostline_zoo.foreign.reader import reader_for
from frostline_zoo.foreign.saved_model.messages import message
from frostline_zoo.foreign.tarball import members_of
from frostline_zoo.foreign.tree import Weights
from frostline_zoo.foreign.wire import Parsed, decode, encode
from tests.zoo.caffe_samples import caffemodel, prototxt
from tests.zoo.onnx_samples import files_of, model, node, numbers
from tests.zoo.test_wire import DRAFT, rewritten

IMAGE = (2, 4, 9, 8)
SAVED = members_of((Path(__file__).parent / "saved_models" / "module.tar.gz").read_bytes())
GRAPH = "module/saved_model.pb"


def refusal(format: str, files: Files, *, weights_only: bool = False) -> ZooError:
    """Returns how a reader refuses files by itself, without the net that is stretched below all readers."""
    with (
        pytest.raises(ZooError) as refused,
        reader_for(format, weights_only=weights_only)(files, next(iter(files))) as it,
    ):
        arrived(it)
    return refused.value


def arrived(network: Parsed) -> Parsed:
    return decode(memoryview(b"".join(encode(network))))


def onnx_refusal(made: onnx.ModelProto | bytes) -> ZooError:
    content = made if isinstance(made, bytes) else made.SerializeToString()
    return refusal("onnx", files_of(net__onnx=content))


def caffe_refusal(*layers: str, **weights: Any) -> ZooError:
    text = prototxt(IMAGE, *layers)
    return refusal("caffe", files_of(net__caffemodel=caffemodel(**weights), net__prototxt=text))


def test_weights_that_point_behind_every_file() -> None:
    weights, archive = io.BytesIO(), io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["a"] = np.ones(1)
    whole = weights.getvalue()
    damaged = whole[:48] + struct.pack("<Q", (1 << 63) + 8) + whole[56:]  # where the driver's information is
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("config.json", "{}")
        members.writestr("model.weights.h5", damaged)
    assert refusal("keras", files_of(x__keras=archive.getvalue())).reason == "BAD_HDF5"


def test_an_onnx_file_whose_names_are_no_text() -> None:
    """The parser gives bytes for a name that is not UTF-8, and text for all others."""
    made = model([node("Relu", "xyz -> y")], IMAGE)
    made.graph.input[0].name = "xyz"
    content = made.SerializeToString().replace(b"xyz", b"x\xffz")
    assert onnx_refusal(content).reason == "BAD_ONNX"


def test_an_onnx_file_of_no_nodes() -> None:
    made = helper.make_tensor_value_info("x", TensorProto.FLOAT, IMAGE)
    graph = helper.make_graph([], "g", [made], [made])
    assert onnx_refusal(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])).reason == "BAD_GRAPH"


def test_an_onnx_file_that_uses_an_output_which_its_node_does_not_make() -> None:
    made = model(
        [node("BatchNormalization", "x w w w w -> t s"), node("Relu", "s -> y")], IMAGE, {"w": numbers(4)}, opset=13
    )
    assert onnx_refusal(made).reason == "BAD_ONNX"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_an_onnx_file_with_a_setting_that_is_no_number(number: float) -> None:
    assert onnx_refusal(model([node("Elu", "x -> y", alpha=number)], IMAGE)).reason == "BAD_CONFIG"


def test_an_onnx_file_whose_input_has_a_huge_side() -> None:
    assert onnx_refusal(model([node("Relu", "x -> y")], (1, 1 << 40))).reason == "BAD_GRAPH"


def test_a_caffe_layer_that_makes_fewer_tensors_than_it_names() -> None:
    assert caffe_refusal("ReLU x -> y z").reason == "BAD_CAFFE"


def test_a_caffe_scale_of_a_name_that_another_layer_has() -> None:
    layers = ["BatchNorm x -> n", "Scale n -> y", "Scale nothing -> y"]
    assert caffe_refusal(*layers, n=[numbers(4), numbers(4), np.float32([1])], y=[numbers(4)]).reason == "BAD_CAFFE"


def test_a_constant_of_a_graph_that_has_no_value() -> None:
    saved: Any = message("SavedModel", SAVED[GRAPH], "the graph")
    for function in saved.meta_graphs[0].graph.library.functions:
        for each in function.nodes:
            if each.op == "Const":
                del each.attributes[:]
    contents = {GRAPH: saved.SerializeToString(), **{name: SAVED[name] for name in SAVED if name != GRAPH}}
    files = files_of(**{name.replace(".", "__"): content for name, content in contents.items()})
    assert refusal("saved_model", files).reason == "BAD_GRAPH"


def test_a_tarball_whose_member_says_that_it_is_longer_than_any_file() -> None:
    member = tarfile.TarInfo("m/saved_model.pb")
    member.size = 1 << 70
    content = member.tobuf(tarfile.GNU_FORMAT) + b"abcd"
    assert refusal("saved_model", files_of(x__tar=content)).reason == "BAD_ARCHIVE"


def test_a_tarball_whose_list_of_holes_is_cut_short() -> None:
    holes = tarfile.TarInfo("m/saved_model.pb").tobuf(tarfile.GNU_FORMAT)
    sparse = bytearray(holes)
    sparse[156:157], sparse[482:483] = b"S", b"\1"  # a file with holes, whose list goes on in a block that is not there
    sparse[148:156] = b"%06o\0 " % (sum(sparse[:148]) + sum(sparse[156:]) + 8 * ord(" "))
    assert refusal("saved_model", files_of(x__tar=bytes(sparse) + bytes(3))).reason == "BAD_ARCHIVE"


def test_a_tarball_whose_header_asks_for_more_memory_than_there_is() -> None:
    member = tarfile.TarInfo("m")
    member.size, member.type = 1 << 60, tarfile.XHDTYPE
    content = member.tobuf(tarfile.GNU_FORMAT) + b"12 path=m/x\n"
    assert refusal("saved_model", files_of(x__tar=content)).reason == "BAD_ARCHIVE"


def test_arrays_of_more_dimensions_than_arrive() -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1] * 9, "data_offsets": [0, 4]}}).encode()
    content = struct.pack("<Q", len(header)) + header + bytes(4)
    assert refusal("safetensors", files_of(x__safetensors=content), weights_only=True).reason == "BAD_WEIGHTS"


def test_a_note_that_would_move_a_terminals_cursor_arrives_escaped() -> None:
    made: Any = arrived(Weights({"a": np.zeros(1)}, ("a\x1b[2J was left out",)))
    assert made.notes == (r"a\x1b[2J was left out",)


@pytest.mark.parametrize("name", ["a" * 1001, "a\x1b[2J", "a\ud800"])
def test_arrays_of_other_names_than_arrive(name: str) -> None:
    with pytest.raises(InvalidError) as refused:
        arrived(Weights({name: np.zeros(1)}, ()))
    assert refused.value.reason == "BAD_WEIGHTS"


def test_lines_of_a_report_are_cut_where_they_are_longer_than_arrives() -> None:
    made = model([node("Gemm", f"x {'w' * 2000} -> y")], (1, 4), {"w" * 2000: numbers(4, 4)})
    with reader_for("onnx")(files_of(net__onnx=made.SerializeToString()), "net.onnx") as network:
        draft: Any = arrived(network)
    assert draft.report.renamed == [("w" * 1000, "gemm_y/kernel")]


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "an object for a type": lambda header: header["inputs"][0].__setitem__(2, {}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_reader_that_was_taken_over_might_send(change: str) -> None:
    with pytest.raises(InvalidError) as refused:
        decode(memoryview(rewritten(CHANGES[change], DRAFT)))
    assert refused.value.reason == "PARSER_CRASHED"


def test_a_refusal_quotes_a_file_on_one_line() -> None:
    refused = onnx_refusal(model([helper.make_node("Re\n\u202e\0lu", ["x"], ["y"], name="n")], IMAGE))
    assert refused.message.startswith(r"node 'n' (Re\n\u202e\x00lu) is an operator that is not known here")
