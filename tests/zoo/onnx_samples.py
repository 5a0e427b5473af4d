"""Small ONNX models for tests, what ONNX's own reference makes of them, and what a draft of them gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from frostline_zoo.foreign.draft import Draft
from frostline_zoo.foreign.files import Files, Member
from frostline_zoo.foreign.onnx_reader import read_onnx

Array = np.ndarray[Any, Any]
NEWEST = onnx.defs.onnx_opset_version()


def numbers(*shape: int, seed: int = 0) -> Array:
    """Returns numbers around zero."""
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


def node(op_type: str, wires: str, **attributes: Any) -> onnx.NodeProto:
    """Returns a node; `wires` is its inputs and outputs, "x w -> y", with _ for one that is left out."""
    inputs, outputs = ([name.replace("_", "") for name in side.split()] for side in wires.split("->"))
    return helper.make_node(op_type, inputs, outputs, name=f"{op_type.lower()}_{outputs[0]}", **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str | None],
    weights: dict[str, Array] | None = None,
    opset: int = NEWEST,
    outputs: Sequence[str] = ("y",),
    dtype: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """Returns a model of one input, x."""
    graph = helper.make_graph(
        nodes,
        "sample",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def files_of(**contents: bytes) -> Files:
    """Returns files in memory; in their names, __ stands for a dot."""
    members, at = [], 0
    for name, content in contents.items():
        members.append(Member(name.replace("__", "."), at, len(content)))
        at += len(content)
    return Files(b"".join(contents.values()), members)


def draft_of(made: onnx.ModelProto | bytes) -> Draft:
    """Returns the draft of a model."""
    content = made if isinstance(made, bytes) else made.SerializeToString()
    return read_onnx(files_of(net__onnx=content), "net.onnx")


def expected(made: onnx.ModelProto, x: Array) -> list[Array]:
    """Returns what ONNX's reference makes of x."""
    return [np.asarray(each) for each in ReferenceEvaluator(made).run(None, {"x": x})]


def imported(draft: Draft) -> Any:
    """Returns the network of a draft as the zoo builds it again from its manifest and blobs."""
    from frostline_zoo.networks.build import build
    from frostline_zoo.networks.describe import describe
    from frostline_zoo.networks.drafts import build_draft

    model, values = build_draft(draft)
    described = describe(model, value_of=values.of)
    return build(described.manifest, described.blobs.__getitem__)


def computed(draft: Draft, x: Array) -> list[Array]:
    """Returns what a draft's network makes of x; channels go last on the way in and come first on the way out."""
    notes = " ".join(draft.report.notes)
    given = np.moveaxis(x, 1, -1) if "is taken with its channels last" in notes else x
    outputs = imported(draft).model(given, training=False)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    turned = "is put out with its channels last" in notes
    return [np.moveaxis(np.asarray(each), -1, 1) if turned and each.ndim > 2 else np.asarray(each) for each in outputs]
