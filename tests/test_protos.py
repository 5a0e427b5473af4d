"""The contract is documented to the last field, and its stubs are those of its .proto files."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

PROTOS = Path(__file__).parent.parent / "protos"
STATUSES = {
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "ABORTED",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
    "DATA_LOSS",
}

Place = tuple[int, ...]
"""Where a declaration stands in its file, as `SourceCodeInfo.Location.path` counts."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[FileDescriptorProto]:
    out = tmp_path_factory.mktemp("descriptors") / "all"
    sources = [str(path) for path in PROTOS.glob("frostline/v1/*.proto")]
    well_known = Path(next(iter(importlib.util.find_spec("grpc_tools._proto").submodule_search_locations)))
    include = [f"--proto_path={PROTOS}", f"--proto_path={well_known}"]
    # In a process of its own: beside TensorFlow's own protobuf the compiler may fall over.
    options = [*include, "--include_source_info", f"--descriptor_set_out={out}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, *sources], check=True)
    return list(FileDescriptorSet.FromString(out.read_bytes()).file)


def comments(file: FileDescriptorProto) -> dict[Place, str]:
    return {tuple(location.path): location.leading_comments for location in file.source_code_info.location}


def messages(file: FileDescriptorProto) -> Iterator[tuple[descriptor_pb2.DescriptorProto, Place]]:
    def nested(message: descriptor_pb2.DescriptorProto, place: Place) -> Iterator:
        yield message, place
        for index, inner in enumerate(message.nested_type):
            if not inner.options.map_entry:
                yield from nested(inner, (*place, 3, index))

    for index, message in enumerate(file.message_type):
        yield from nested(message, (4, index))


def declarations(file: FileDescriptorProto) -> Iterator[tuple[str, Place]]:
    """Yields every service, method, message, field, enum and enum value, and its place."""
    for index, service in enumerate(file.service):
        yield service.name, (6, index)
        yield from ((f"{service.name}.{method.name}", (6, index, 2, i)) for i, method in enumerate(service.method))
    for message, place in messages(file):
        yield message.name, place
        yield from ((f"{message.name}.{field.name}", (*place, 2, i)) for i, field in enumerate(message.field))
        for index, enum in enumerate(message.enum_type):
            yield from ((value.name, (*place, 4, index, 2, i)) for i, value in enumerate(enum.value))


def test_every_declaration_has_a_comment(files: list[FileDescriptorProto]) -> None:
    bare = [name for file in files for name, place in declarations(file) if not comments(file).get(place, "").strip()]
    assert bare == []


def test_every_rpc_lists_the_statuses_that_it_ends_with(files: list[FileDescriptorProto]) -> None:
    for file in files:
        for index, service in enumerate(file.service):
            for i, method in enumerate(service.method):
                listed = comments(file)[(6, index, 2, i)].partition("\n Errors:\n")[2]
                found = set(re.findall(r"^   ([A-Z_]+)  ", listed, flags=re.MULTILINE))
                assert found, f"{service.name}.{method.name} lists no errors"
                assert found <= STATUSES, f"{service.name}.{method.name}"


def test_every_create_takes_a_request_id(files: list[FileDescriptorProto]) -> None:
    creates = [
        m for file in files for m, _ in messages(file) if m.name.startswith("Create") and m.name.endswith("Request")
    ]
    assert creates
    assert [m.name for m in creates if "request_id" not in {field.name for field in m.field}] == []


def test_the_stubs_are_those_of_the_proto_files(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(PROTOS / "generate.py"), str(tmp_path)], check=True)
    fresh = {path.name: path.read_text() for path in (tmp_path / "frostline/v1").iterdir()}
    committed = {path.name: path.read_text() for path in (PROTOS / "frostline/v1").glob("*_pb2*")}
    assert committed == fresh, "run make protos"
