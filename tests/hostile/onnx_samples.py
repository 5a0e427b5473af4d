"""Hostile ONNX files: data said to be elsewhere, operators that act, graphs without end, tensors that lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from tests.hostile.sample import INVALID, TAKEN, Canaries, Sample
from tests.zoo.caffe_samples import field
from tests.zoo.onnx_samples import model, node, numbers

NAME = "x.onnx"
Change = Callable[[ModelProto], object]


def dense() -> ModelProto:
    """Returns a network of four numbers."""
    return model([node("MatMul", "x w -> y")], ("n", 4), {"w": numbers(4, 3)})


def samples(canaries: Canaries) -> Iterator[Sample]:
    """Yields M48 to M57, and benign ones."""
    yield from _of_data_elsewhere(canaries)
    yield from _of_graphs(canaries)
    yield from _of_tensors()
    yield from _benign()


def _of_data_elsewhere(canaries: Canaries) -> Iterator[Sample]:
    secret, folder = str(canaries.secret), str(canaries.folder)
    data = {"beside": bytes(48)}
    for number, what, entries, beside in [
        ("M48", "data above the folder", {"location": "../" * 20 + secret.lstrip("/")}, {}),
        ("M49", "data at a path", {"location": secret}, {}),
        ("M50", "data through a folder's name", {"location": "link/secret"}, {"link": folder.encode()}),
        ("M51", "data in a file that was not sent", {"location": "secret"}, {}),
        ("M51b", "data in the file itself", {"location": NAME}, {}),
        ("M52a", "data before a file's start", {"location": "beside", "offset": "-48"}, data),
        ("M52b", "data far behind its end", {"location": "beside", "offset": "99999999999999999"}, data),
        ("M52c", "an offset past all numbers", {"location": "beside", "offset": "9" * 400}, data),
        ("M52d", "more data than there is", {"location": "beside", "length": "99999999999"}, data),
        ("M53", "a key that is an attribute of Python's", {"location": "beside", "__class__": "os"}, data),
    ]:
        made = dense()
        tensor = made.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)
        yield Sample(number, what, NAME, made.SerializeToString(), INVALID, ("EXTERNAL_REFERENCE",), beside)


def _of_graphs(canaries: Canaries) -> Iterator[Sample]:
    def code(made: ModelProto) -> None:
        command = {"module": "os", "compute": "system", "input": f"touch {canaries.written}"}
        made.graph.node.append(helper.make_node("PyOp", ["y"], ["z"], name="evil", domain="com.microsoft", **command))
        made.graph.output[0].name = "z"

    def endless(made: ModelProto) -> None:
        made.functions.append(_function("F", "F"))
        _call(made)

    def in_a_circle(made: ModelProto) -> None:
        made.functions.extend([_function("F", "G"), _function("G", "F")])
        _call(made)

    for number, what, change, reason in [
        ("M54", "an operator that runs Python", code, "UNSAFE_OP"),
        ("M55a", "a function that calls itself", endless, "BAD_ONNX"),
        ("M55b", "functions that call one another", in_a_circle, "BAD_ONNX"),
    ]:
        made = dense()
        change(made)
        yield Sample(number, what, NAME, made.SerializeToString(), INVALID, (reason,))
    graph = b""
    for _ in range(200):
        graph = field(1, field(5, field(6, graph)))  # a graph's node's attribute, which is a graph
    deep = b"\x08\x08" + field(7, graph)
    yield Sample("M56", "graphs within graphs", NAME, deep, INVALID, ("LIMIT_DEPTH",))


def _function(name: str, calls: str) -> Any:
    inner = helper.make_node(calls, ["x"], ["y"], domain="own")
    return helper.make_function("own", name, ["x"], ["y"], [inner], [helper.make_opsetid("own", 1)])


def _call(made: ModelProto) -> None:
    made.opset_import.append(helper.make_opsetid("own", 1))
    made.graph.node.append(helper.make_node("F", ["y"], ["z"], domain="own"))
    made.graph.output[0].name = "z"


def _of_tensors() -> Iterator[Sample]:
    for number, what, dims, raw in [
        ("M57a", "sides whose product is past 64 bits", [1 << 32, 1 << 32], bytes(48)),
        ("M57b", "sides whose product in 64 bits is 12", [(1 << 62) + 3, 4], bytes(48)),
        ("M57c", "sides below nothing", [-4, -3], bytes(48)),
        ("M57d", "less data than its shape says", [4, 3], bytes(4)),
    ]:
        made = dense()
        made.graph.initializer[0].dims[:] = dims
        made.graph.initializer[0].raw_data = raw
        yield Sample(number, what, NAME, made.SerializeToString(), INVALID, ("BAD_ONNX",))


def _benign() -> Iterator[Sample]:
    yield Sample("B10a", "a plain network", NAME, dense().SerializeToString(), TAKEN)
    normal = {key: np.abs(numbers(4, seed=at)) for at, key in enumerate("gbmv")}
    layers = [
        node("Conv", "x k -> c", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "c g b m v -> n"),
        node("Relu", "n -> r"),
        node("Dropout", "r -> d"),
        node("GlobalAveragePool", "d -> y"),
    ]
    made = model(layers, ("n", 3, 8, 8), {"k": numbers(4, 3, 3, 3), **normal})
    yield Sample("B10b", "one with normalization and dropout", NAME, made.SerializeToString(), TAKEN)
    whole = {"q": np.arange(-6, 6, dtype=np.int8).reshape(4, 3), "s": np.float32(0.5), "z": np.int8(1)}
    made = model([node("DequantizeLinear", "q s z -> w"), node("MatMul", "x w -> y")], ("n", 4), whole)
    yield Sample("B10c", "one whose weights are quantized", NAME, made.SerializeToString(), TAKEN)
    made, kept = dense(), numbers(4, 3).tobytes()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="x.onnx.data")
    content = made.SerializeToString()
    yield Sample("B10d", "one with its weights beside it", NAME, content, TAKEN, beside={"x.onnx.data": kept})
