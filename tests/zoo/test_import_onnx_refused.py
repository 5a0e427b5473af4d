"""ONNX files that are refused: those that would do harm, those that are damaged, and what no Keras layer says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from frostline_zoo.errors import ExhaustedError, InvalidError, ZooError
from frostline_zoo.foreign.onnx_reader import read_onnx
from tests.zoo.onnx_samples import draft_of, files_of, model, node, numbers


def dense() -> onnx.ModelProto:
    return model([node("MatMul", "x w -> y")], (1, 4), {"w": numbers(4, 3)})


def refusal(made: onnx.ModelProto | bytes) -> str:
    with pytest.raises(ZooError) as refused:
        draft_of(made)
    assert "/" not in refused.value.message
    return refused.value.reason


OUTSIDE: dict[str, dict[str, str]] = {
    "above": {"location": "../secret"},
    "absolute": {"location": "/etc/passwd"},
    "through a folder": {"location": "link/secret"},
    "another file": {"location": "secret"},
    "the file itself": {"location": "net.onnx"},
    "nowhere": {},
    "a negative offset": {"location": "beside", "offset": "-48"},
    "a huge offset": {"location": "beside", "offset": "99999999999999999"},
    "an offset past all numbers": {"location": "beside", "offset": "9" * 400},
    "a huge length": {"location": "beside", "length": "99999999999"},
    "a short length": {"location": "beside", "length": "4"},
    "an unknown key": {"location": "beside", "__class__": "os"},
}


@pytest.mark.parametrize("entries", OUTSIDE.values(), ids=OUTSIDE)
def test_a_tensor_outside_of_what_was_sent_is_refused(entries: dict[str, str]) -> None:
    made = dense()
    made.graph.initializer[0].data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        made.graph.initializer[0].external_data.add(key=key, value=value)
    files = files_of(net__onnx=made.SerializeToString(), beside=bytes(48))
    with pytest.raises(InvalidError) as refused:
        read_onnx(files, "net.onnx")
    assert refused.value.reason == "EXTERNAL_REFERENCE"
    assert "passwd" not in refused.value.message


def test_a_tensor_of_nothing_with_huge_sides_is_refused() -> None:
    made = dense()
    made.graph.initializer[0].ClearField("raw_data")
    made.graph.initializer[0].ClearField("float_data")
    made.graph.initializer[0].dims[:] = [0, 1 << 40, 1 << 40]
    assert refusal(made) == "BAD_ONNX"


def python_operator() -> onnx.ModelProto:
    made = dense()
    made.graph.node.append(helper.make_node("PyOp", ["y"], ["z"], domain="com.microsoft", module="os"))
    return made


def function_cycle() -> onnx.ModelProto:
    made = dense()
    inner = helper.make_node("F", ["x"], ["y"], domain="own")
    made.functions.append(helper.make_function("own", "F", ["x"], ["y"], [inner], [helper.make_opsetid("own", 1)]))
    made.graph.node[0].CopyFrom(helper.make_node("F", ["x"], ["y"]))
    return made


def deep_subgraphs() -> bytes:
    """A graph in a node in a graph, 200 times."""

    def field(number: int, content: bytes) -> bytes:
        size, length = len(content), b""
        while size > 0x7F:
            length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + content

    graph = b""
    for _ in range(200):
        graph = field(1, field(5, field(6, graph)))
    return b"\x08\x08" + field(7, graph)


def overflowing_dims() -> onnx.ModelProto:
    made = dense()
    made.graph.initializer[0].dims[:] = [1 << 32, 1 << 32]
    return made


def negative_dims() -> onnx.ModelProto:
    made = dense()
    made.graph.initializer[0].dims[:] = [-4, -3]
    return made


def short_data() -> onnx.ModelProto:
    made = dense()
    made.graph.initializer[0].raw_data = bytes(4)
    return made


def cut_off() -> bytes:
    return dense().SerializeToString()[:-20]


def loop() -> onnx.ModelProto:
    return model([node("Relu", "b -> a"), node("Relu", "a -> b"), node("Add", "x b -> y")], (1, 4))


def twice() -> onnx.ModelProto:
    return model([node("Relu", "x -> y"), node("Tanh", "x -> y")], (1, 4))


def branch() -> onnx.ModelProto:
    made = dense()
    then = helper.make_attribute("then_branch", made.graph)
    made.graph.node.append(helper.make_node("If", ["y"], ["z"]))
    made.graph.node[-1].attribute.append(then)
    made.graph.output[0].name = "z"
    return made


def too_large_constant() -> onnx.ModelProto:
    nodes = [node("ConstantOfShape", "s -> c"), node("Add", "x c -> y")]
    return model(nodes, (1, 4), {"s": np.array([1 << 20, 1 << 20])})


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (python_operator, "UNSAFE_OP"),
        (function_cycle, "BAD_ONNX"),
        (deep_subgraphs, "LIMIT_DEPTH"),
        (overflowing_dims, "BAD_ONNX"),
        (negative_dims, "BAD_ONNX"),
        (short_data, "BAD_ONNX"),
        (cut_off, "BAD_ONNX"),
        (loop, "BAD_ONNX"),
        (twice, "BAD_ONNX"),
        (branch, "UNSUPPORTED_OP"),
        (too_large_constant, "UNSUPPORTED_OP"),
        (lambda: model([node("Relu", "x -> y")], (1, 4), opset=6), "UNSUPPORTED_OP"),
        (lambda: model([node("Relu", "x -> y")], (1, 4), opset=1000), "UNSUPPORTED_OP"),
    ],
)
def test_a_file_that_would_do_harm_is_refused(make: Callable[[], onnx.ModelProto | bytes], reason: str) -> None:
    assert refusal(make()) == reason


MIXES = {"w": np.array([-1, 6])}
UNSAYABLE = {
    "LRN": model([node("LRN", "x -> y", size=5, bias=0.0)], (1, 3, 8, 8)),
    "TopK": model([node("TopK", "x k -> y _")], (1, 8), {"k": np.array([2])}),
    "Reshape": model([node("Reshape", "x w -> y")], ("n", 3, 4), MIXES),
    "Transpose": model(
        [node("Transpose", "x -> t", perm=[1, 0]), node("MatMul", "t w -> y")], (2, 4), {"w": numbers(2, 3)}
    ),
    "ReduceMean": model([node("ReduceMean", "x -> y")], (1, 4)),
    "Div": model([node("Relu", "x -> r"), node("Div", "x r -> y")], (1, 4)),
    "Conv": model([node("Relu", "x -> r"), node("Conv", "x r -> y")], (1, 3, 3, 3)),
    "Resize": model([node("Resize", "x _ _ s -> y", mode="cubic")], (1, 3, 4, 4), {"s": np.array([1, 3, 8, 8])}),
}


@pytest.mark.parametrize("op_type", UNSAYABLE)
def test_what_keras_layers_do_not_say_is_refused_by_operator_and_node(op_type: str) -> None:
    with pytest.raises(InvalidError) as refused:
        draft_of(UNSAYABLE[op_type])
    assert refused.value.reason == "UNSUPPORTED_OP"
    assert f"({op_type})" in refused.value.message or "across examples" in refused.value.message


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_a_damaged_file_is_refused_or_read_but_never_stumbled_over(at: int) -> None:
    nodes = [node("Conv", "x k -> c", pads=[1, 1, 1, 1]), node("Relu", "c -> r"), node("Flatten", "r -> y")]
    content = bytearray(model(nodes, (1, 2, 4, 4), {"k": numbers(2, 2, 3, 3)}).SerializeToString())
    content[at % len(content)] ^= 0x55
    with suppress(InvalidError, ExhaustedError):
        draft_of(bytes(content))
