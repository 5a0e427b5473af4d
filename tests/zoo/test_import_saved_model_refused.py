"""SavedModels that would act when loaded, or point elsewhere, or are bombs: refused, each with its reason."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.foreign.saved_model.messages import message
from frostline_zoo.foreign.saved_model_reader import read_saved_model
from frostline_zoo.foreign.tarball import members_of

GRAPH = "module/saved_model.pb"
FILES = members_of((Path(__file__).parent / "saved_models" / "module.tar.gz").read_bytes())


def refusal(change: Callable[[Any], None] | None = None, **files: bytes) -> str:
    """Returns the reason for which the little network is refused once something in it was changed."""
    saved = message("SavedModel", FILES[GRAPH], "the graph")
    if change is not None:
        change(saved.meta_graphs[0])
    changed = FILES | {GRAPH: saved.SerializeToString()} | {f"module/{name}": files[name] for name in files}
    with pytest.raises((InvalidError, ExhaustedError)) as refused:
        read_saved_model(changed, GRAPH)
    return refused.value.reason


def attribute(node: Any, key: str) -> Any:
    return next((entry.value for entry in node.attributes if entry.key == key), None) or added(node, key)


def added(node: Any, key: str) -> Any:
    node.attributes.add(key=key)
    return node.attributes[-1].value


def served_function(meta: Any) -> Any:
    name = next(f.signature.name for f in meta.graph.library.functions if "signature_wrapper" in f.signature.name)
    return next(f for f in meta.graph.library.functions if f.signature.name == name)


@pytest.mark.parametrize("op", ["WriteFile", "ReadFile", "MatchingFiles", "PyFunc", "EagerPyFunc", "DatasetFromGraph"])
def test_an_operation_on_the_world_is_refused_wherever_it_stands(op: str) -> None:
    assert refusal(lambda meta: meta.graph.nodes.add(name="x", op=op)) == "UNSAFE_OP"
    assert refusal(lambda meta: served_function(meta).nodes.add(name="x", op=op)) == "UNSAFE_OP"

    def in_a_function_that_nothing_calls(meta: Any) -> None:
        meta.graph.library.functions.add().nodes.add(name="x", op=op)

    assert refusal(in_a_function_that_nothing_calls) == "UNSAFE_OP"


@pytest.mark.parametrize("op", ["SaveV2", "RestoreV2", "AssignVariableOp", "NoSuchOperation", "While"])
def test_what_the_signature_runs_is_arithmetic_alone_even_beside_its_outputs(op: str) -> None:
    assert refusal(lambda meta: served_function(meta).nodes.add(name="x", op=op)) == "UNSAFE_OP"

    def before_the_call(meta: Any) -> None:
        meta.graph.nodes.add(name="x", op=op)
        next(node for node in meta.graph.nodes if node.name == "StatefulPartitionedCall").inputs.append("^x")

    assert refusal(before_the_call) == "UNSAFE_OP"


def test_a_function_hidden_in_a_setting_is_refused() -> None:
    def hide(meta: Any) -> None:
        node = served_function(meta).nodes.add(name="x", op="Relu")
        added(node, "f").function.name = meta.graph.library.functions[0].signature.name

    assert refusal(hide) == "UNSAFE_OP"


@pytest.mark.parametrize("key", ["__saved_model_init_op", "saved_model_main_op", "legacy_init_op"])
def test_setting_up_may_only_set_up(key: str) -> None:
    def act(meta: Any) -> None:
        meta.graph.nodes.add(name="x", op="ShutdownDistributedTPU")
        meta.collections.add(key=key).value.nodes.value.append("x")

    assert refusal(act) == "UNSAFE_OP"


@pytest.mark.parametrize("name", ["../../canary", "/canary", "a\\..\\canary", "file:canary"])
def test_assets_elsewhere_are_refused(name: str) -> None:
    assert refusal(lambda meta: meta.assets.add(filename=name)) == "EXTERNAL_REFERENCE"


def test_layers_of_code_are_refused_wherever_they_are_described() -> None:
    described = message("SavedMetadata", b"", "")
    described.nodes.add(metadata='{"class_name": "Lambda"}')
    assert refusal(**{"keras_metadata.pb": described.SerializeToString()}) == "UNSAFE_LAYER"

    def beside_the_graph(meta: Any) -> None:
        meta.objects.nodes.add().user.metadata = '{"class_name": "Lambda"}'

    assert refusal(beside_the_graph) == "UNSAFE_LAYER"


@pytest.mark.parametrize("name", ["assets.extra/custom.so", "assets.extra/custom.so.1", "assets.extra/innocent"])
def test_programs_beside_the_graph_are_refused(name: str) -> None:
    assert refusal(**{name: b"\x7fELF"}) == "UNSAFE_OP"


def test_attributes_within_attributes_are_refused_at_a_hundred() -> None:
    def nest(meta: Any) -> None:
        value = added(meta.graph.nodes[0], "deep")
        for _ in range(60):
            value.function.name = "f"
            value = added(value.function, "deep")

    assert refusal(nest) == "LIMIT_DEPTH"


def test_functions_that_call_themselves_are_refused() -> None:
    def loop(meta: Any) -> None:
        function = served_function(meta)
        call = next(node for node in function.nodes if node.op == "StatefulPartitionedCall")
        attribute(call, "f").function.name = function.signature.name

    assert refusal(loop) == "LIMIT_DEPTH"


def test_a_constant_that_claims_more_than_it_holds_is_refused() -> None:
    def grow(meta: Any) -> None:
        for function in meta.graph.library.functions:
            for node in function.nodes:
                if node.op == "Const" and attribute(node, "value").tensor.floats:
                    attribute(node, "value").tensor.shape.sides.add(size=1 << 40)

    assert refusal(grow) == "LIMIT_INFLATE"


def test_a_damaged_graph_is_refused() -> None:
    for size in (1, 40, len(FILES[GRAPH]) - 1):
        with pytest.raises(InvalidError) as refused:
            read_saved_model(FILES | {GRAPH: FILES[GRAPH][:size]}, GRAPH)
        assert refused.value.reason == "BAD_SAVED_MODEL"


def tarball(*members: tarfile.TarInfo, content: bytes = b"") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize(
    "bad",
    [
        member("variables", tarfile.SYMTYPE, "/etc"),
        member("saved_model.pb", tarfile.LNKTYPE, "/etc/passwd"),
        member("saved_model.pb", tarfile.CHRTYPE),
        member("saved_model.pb", tarfile.FIFOTYPE),
        member("../saved_model.pb"),
        member("/saved_model.pb"),
    ],
)
def test_tarballs_with_more_than_files_in_them_are_refused(bad: tarfile.TarInfo) -> None:
    with pytest.raises(InvalidError) as refused:
        read_saved_model({"a.tar.gz": tarball(bad)}, "a.tar.gz")
    assert refused.value.reason == "BAD_ARCHIVE"


def test_a_tarball_that_unpacks_to_far_more_is_refused_before_it_does() -> None:
    with pytest.raises(ExhaustedError) as refused:
        read_saved_model({"a.tar.gz": tarball(member("saved_model.pb"), content=bytes(50 << 20))}, "a.tar.gz")
    assert refused.value.reason == "LIMIT_INFLATE"


def test_every_cut_of_a_tarball_is_noticed() -> None:
    whole = tarball(member("x"), content=b"x" * 100)
    for size in range(2, len(whole), 17):
        with pytest.raises(InvalidError) as refused:
            members_of(whole[:size])
        assert refused.value.reason == "BAD_ARCHIVE"
