"""Hostile SavedModels: a good one, which TensorFlow wrote, with a payload put where it would run, and damaged ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from frostline_zoo.foreign.saved_model.messages import message
from frostline_zoo.foreign.tarball import members_of
from tests.hostile.keras_samples import lambda_layer
from tests.hostile.sample import EXHAUSTED, INVALID, TAKEN, Canaries, Sample

TEXT, VARIANT = 7, 21  # TensorFlow's numbers for them
GRAPH, DATA, INDEX = "saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"
GRAPH_VERSION = bytes([0x22, 3, 0x08, 0xE8, 0x0E])  # GraphDef.versions: since when these operations are known
GOOD = Path(__file__).parents[1] / "zoo" / "saved_models"
_MODULE = members_of((GOOD / "module.tar.gz").read_bytes())
FILES = {name.removeprefix("module/"): bytes(content) for name, content in _MODULE.items()}

Change = Callable[[Any], object]


def samples(canaries: Canaries) -> Iterator[Sample]:
    """Yields M34 to M45, and benign ones."""
    yield from _of_operations(canaries)
    yield from _of_what_stands_beside(canaries)
    yield from _of_damage()
    yield Sample("B09a", "a plain network", GRAPH, FILES[GRAPH], TAKEN, beside=_beside())
    branches = (GOOD / "branches.tar.gz").read_bytes()
    yield Sample("B09b", "one with normalization and dropout", "x.tar.gz", branches, TAKEN)


def changed(change: Change, **beside: bytes) -> dict[str, Any]:
    """Returns the good network with its graph changed, as arguments of a sample."""
    saved = message("SavedModel", FILES[GRAPH], "the graph")
    change(saved.meta_graphs[0])
    return {"name": GRAPH, "content": saved.SerializeToString(), "beside": _beside() | beside}


def put(nodes: Any, op: str, canaries: Canaries, suffix: str = "") -> None:
    """Adds an operation to a graph's nodes, named `evil`, with constants for its inputs.

    Args:
        nodes: a graph's, or a function's.
        op: which operation.
        canaries: what it reads or writes.
        suffix: of a node's name where a tensor is meant: within functions, `:output:0`.
    """
    secret, written = (str(path).encode() for path in (canaries.secret, canaries.written))
    texts: list[bytes] = {
        "WriteFile": [written, b"x"],
        "ReadFile": [secret],
        "MatchingFiles": [secret + b"*"],
        "SaveV2": [written, b"a", b"", b"x"],
        "DatasetFromGraph": [_dataset(canaries)] if op == "DatasetFromGraph" else [],
    }.get(op, [])
    for at, text in enumerate(texts):
        tensor = _constant(nodes, f"evil/{at}", text)
        if op == "SaveV2" and at in (1, 2):  # a list of names, and of slices
            tensor.shape.sides.add(size=1)
    evil = nodes.add(name="evil", op=op, inputs=[f"evil/{at}{suffix}" for at in range(len(texts))])
    if op == "SaveV2":
        _set(evil, "dtypes").list.type.append(TEXT)
    if op in ("PyFunc", "EagerPyFunc"):
        _set(evil, "token").s = b"pyfunc_0"
        _set(evil, "Tin").list.SetInParent()
        _set(evil, "Tout").list.SetInParent()


def _dataset(canaries: Canaries) -> bytes:
    """Returns a graph that makes a dataset, and writes before it does: DatasetFromGraph runs it."""
    graph = message("Graph", GRAPH_VERSION, "a graph")
    put(graph.nodes, "WriteFile", canaries)
    _constant(graph.nodes, "x", b"x")
    made = graph.nodes.add(name="made", op="TensorDataset", inputs=["x", "^evil"])
    _set(made, "Toutput_types").list.type.append(TEXT)
    _set(made, "output_shapes").list.shape.add()
    returned = graph.nodes.add(name="returned", op="_Retval", inputs=["made"])
    _set(returned, "T").type = VARIANT
    _set(returned, "index").i = 1  # not 0, which would not be written
    return bytes(graph.SerializeToString())


def _of_operations(canaries: Canaries) -> Iterator[Sample]:
    def before_the_call(op: str) -> Change:
        def change(meta: Any) -> None:
            put(meta.graph.nodes, op, canaries)
            _node(meta.graph.nodes, "StatefulPartitionedCall").inputs.append("^evil")

        return change

    def in_a_function(op: str, name: str = "signature_wrapper") -> Change:
        def change(meta: Any) -> None:
            nodes = _function(meta, name).nodes
            put(nodes, op, canaries, ":output:0")
            _node(nodes, "Identity").inputs.append("^evil")

        return change

    def while_setting_up(op: str) -> Change:
        def change(meta: Any) -> None:
            put(meta.graph.nodes, op, canaries)
            _node(meta.graph.nodes, "NoOp").inputs.append("^evil")  # which is the operation that sets up

        return change

    for number, what, change in [
        ("M34a", "a file written before the network is called", before_the_call("WriteFile")),
        ("M34b", "one written by what nothing needs", lambda meta: put(meta.graph.nodes, "WriteFile", canaries)),
        ("M35a", "a file written in the signature's function", in_a_function("WriteFile")),
        ("M35b", "one written a function deeper", in_a_function("WriteFile", "__call__")),
        ("M36", "one written by a graph within a constant", in_a_function("DatasetFromGraph")),
        ("M37a", "a function of Python", in_a_function("PyFunc")),
        ("M37b", "one that runs at once", in_a_function("EagerPyFunc")),
        ("M38", "a checkpoint saved by the signature", in_a_function("SaveV2")),
        ("M39a", "a file read", in_a_function("ReadFile")),
        ("M39b", "a folder looked through", in_a_function("MatchingFiles")),
        ("M41a", "a checkpoint saved while setting up", while_setting_up("SaveV2")),
        ("M41b", "a file written while setting up", while_setting_up("WriteFile")),
        ("M43b", "an operation of somebody's own", in_a_function("MyOwnOperation")),
    ]:
        yield Sample(number, what, status=INVALID, reasons=("UNSAFE_OP",), **changed(change))


def _of_what_stands_beside(canaries: Canaries) -> Iterator[Sample]:
    outside = f"{'../' * 20}{str(canaries.secret).lstrip('/')}"
    for number, name in (("M40a", outside), ("M40b", str(canaries.secret))):

        def name_it(meta: Any, name: str = name) -> None:
            _constant(meta.graph.nodes, "asset", b"")
            meta.assets.add(filename=name).tensor.name = "asset:0"

        elsewhere = changed(name_it)
        yield Sample(number, "a file elsewhere", status=INVALID, reasons=("EXTERNAL_REFERENCE",), **elsewhere)
    evil = json.dumps(lambda_layer(canaries))
    described = message("SavedMetadata", b"", "a description")
    described.nodes.add(metadata=evil)
    beside = changed(lambda _: None, **{"keras_metadata.pb": described.SerializeToString()})
    yield Sample("M42a", "a lambda layer beside the graph", status=INVALID, reasons=("UNSAFE_LAYER",), **beside)

    def describe(meta: Any) -> None:
        meta.objects.nodes.add().user.metadata = evil

    yield Sample("M42b", "one among the objects", status=INVALID, reasons=("UNSAFE_LAYER",), **changed(describe))
    program = changed(lambda _: None, **{"assets.extra/own.so": b"\x7fELF\x02\x01\x01" + bytes(57)})
    yield Sample("M43a", "a program", status=INVALID, reasons=("UNSAFE_OP",), **program)


def _of_damage() -> Iterator[Sample]:
    def nested(meta: Any) -> None:
        value = _set(meta.graph.library.functions[0].nodes[0], "deep")
        for _ in range(60):  # each is an attribute, and a function in it
            value.function.name = "f"
            value = _set(value.function, "deep")

    def endless(meta: Any) -> None:
        function = _function(meta, "signature_wrapper")
        call = _node(function.nodes, "StatefulPartitionedCall")
        next(entry for entry in call.attributes if entry.key == "f").value.function.name = function.signature.name

    for number, what, change in [
        ("M44a", "attributes within attributes", nested),
        ("M44b", "a function that calls itself", endless),
    ]:
        yield Sample(number, what, status=INVALID, reasons=("LIMIT_DEPTH",), **changed(change))
    doubling = changed(_doubling)
    yield Sample("M44c", "calls that double 60 deep", status=EXHAUSTED, reasons=("LIMIT_NODES",), **doubling)
    bad = ("BAD_CHECKPOINT",)
    for number, what, name in [("M45a", "half of the variables", DATA), ("M45b", "half of their index", INDEX)]:
        cut = changed(lambda _: None, **{name: FILES[name][: len(FILES[name]) // 2]})
        yield Sample(number, what, status=INVALID, reasons=bad, **cut)


def _doubling(meta: Any) -> None:
    """Puts functions into the network of which each calls the next one twice."""
    library = meta.graph.library.functions
    call = _node(_function(meta, "signature_wrapper").nodes, "StatefulPartitionedCall")
    for at in range(60):
        function = library.add()
        function.signature.name = f"double_{at}"
        function.signature.inputs.add(name="x")
        function.signature.outputs.add(name="y")
        function.returns.add(key="y", value="b:output:0")
        for name, given in (("a", "x"), ("b", "a:output:0")):
            inner = function.nodes.add(name=name, op="PartitionedCall" if at < 59 else "Identity", inputs=[given])
            if at < 59:
                _set(inner, "f").function.name = f"double_{at + 1}"
    del call.inputs[1:]
    next(entry for entry in call.attributes if entry.key == "f").value.function.name = "double_0"


def _beside() -> dict[str, bytes]:
    return {name: FILES[name] for name in (INDEX, DATA)}


def _constant(nodes: Any, name: str, text: bytes) -> Any:
    """Adds a constant of text to nodes; returns its tensor."""
    constant = nodes.add(name=name, op="Const")
    _set(constant, "dtype").type = TEXT
    tensor = _set(constant, "value").tensor
    tensor.dtype = TEXT
    tensor.strings.append(text)
    return tensor


def _function(meta: Any, name: str) -> Any:
    return next(each for each in meta.graph.library.functions if name in each.signature.name)


def _node(nodes: Any, name: str) -> Any:
    return next(node for node in nodes if node.name == name)


def _set(holder: Any, key: str) -> Any:
    """Adds an attribute to a node, or to a function that is named in one; returns its value."""
    return holder.attributes.add(key=key).value
