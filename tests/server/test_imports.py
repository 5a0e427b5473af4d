"""Networks in from other tools and out to them, through a real server with its workbench."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import h5py
import numpy as np
import pytest

from frostline.v1 import model_service_pb2 as pb
from frostline.v1.model_service_pb2_grpc import ModelServiceStub

PIECE = 1 << 16


@pytest.fixture
def stub(server: Any) -> Any:
    return ModelServiceStub(server.channel)


def network(folder: Path, seed: int = 0, head: str = "Dense") -> bytes:
    """Returns a Keras 2 file of a network 4 -> 3 -> 2, as Keras 2 would have written it."""
    dense = {"activation": "relu", "use_bias": True, "trainable": True}
    config = [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 4], "dtype": "float32", "name": "x"}},
        {"class_name": "Dense", "config": {"name": "h1", "units": 3, **dense}},
        {"class_name": head, "config": {"name": "h2", "units": 2, **dense}},
    ]
    random, path = np.random.default_rng(seed), folder / f"{seed}-{head}.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"name": "n", "layers": config}})
        file.attrs["keras_version"] = "2.3.1"
        weights = file.create_group("model_weights")
        for name, rows, columns in (("h1", 4, 3), ("h2", 3, 2)):
            group = weights.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            group[f"{name}/kernel:0"] = random.normal(size=(rows, columns)).astype(np.float32)
            group[f"{name}/bias:0"] = random.normal(size=columns).astype(np.float32)
    return path.read_bytes()


def messages(content: bytes, model: str, **header: Any) -> Iterator[pb.ImportModelRequest]:
    """Yields an import's messages."""
    fields = {"model": f"models/{model}", "size_bytes": len(content), **header}
    yield pb.ImportModelRequest(header=pb.ImportModelHeader(**fields))
    for start in range(0, len(content), PIECE):
        yield pb.ImportModelRequest(data=content[start : start + PIECE])


def refused(code: grpc.StatusCode, call: Any, request: Any) -> str:
    """Returns what the call says when it is refused with `code`."""
    with pytest.raises(grpc.RpcError) as refusal:
        call(request)
    assert refusal.value.code() is code, refusal.value.details()
    return refusal.value.details() or ""


def stored(data: Path) -> set[Path]:
    """Returns the files that are stored or staged."""
    return {path for part in ("blobs", "staging") for path in (data / part).rglob("*") if path.is_file()}


def test_an_imported_network_is_a_version(stub: Any, tmp_path: Path) -> None:
    answer = stub.ImportModel(messages(network(tmp_path), "imported"))
    assert answer.version.name == "models/imported/versions/1"
    assert (answer.version.layer_count, answer.version.parameter_count) == (2, 4 * 3 + 3 + 3 * 2 + 2)
    assert (answer.new_blob_count, answer.shared_blob_count) == (2, 0)
    assert stub.GetVersion(pb.GetVersionRequest(name="models/imported/tags/latest")) == answer.version


def test_an_exported_network_comes_in_again_as_the_same_layers(stub: Any, server: Any, tmp_path: Path) -> None:
    first = stub.ImportModel(messages(network(tmp_path, seed=1), "round"))
    request = pb.ExportModelRequest(name="models/round/versions/1", format="keras")
    pieces = list(stub.ExportModel(request))
    content = b"".join(piece.data for piece in pieces)
    assert pieces[0].size_bytes == len(content)
    again = stub.ImportModel(messages(content, "round-again"))
    assert (again.new_blob_count, again.shared_blob_count) == (0, 2)
    assert again.version.size_bytes == first.version.size_bytes
    assert list((server.data / "staging").iterdir()) == []


def test_the_same_file_again_is_the_same_version(stub: Any, tmp_path: Path) -> None:
    content = network(tmp_path, seed=2)
    first, second = (stub.ImportModel(messages(content, "same")).version for _ in range(2))
    assert first == second


def test_a_repeated_request_is_answered_as_the_first(stub: Any, tmp_path: Path) -> None:
    content, other, request_id = network(tmp_path, seed=3), network(tmp_path, seed=4), str(uuid4())
    first = stub.ImportModel(messages(content, "once", request_id=request_id))
    stub.ImportModel(messages(other, "once"))
    assert stub.ImportModel(messages(content, "once", request_id=request_id)) == first
    taken = grpc.StatusCode.ALREADY_EXISTS
    assert request_id in refused(taken, stub.ImportModel, messages(other, "once", request_id=request_id))
    assert stub.GetModel(pb.GetModelRequest(name="models/once")).version_count == 2


def test_the_preprocessing_is_part_of_the_version(stub: Any, tmp_path: Path) -> None:
    content = network(tmp_path, seed=5)
    plain = stub.ImportModel(messages(content, "scaled")).version
    scaled = stub.ImportModel(messages(content, "scaled", preprocessing='{"scale": 0.5}'))
    assert (scaled.version.name, scaled.new_blob_count) == ("models/scaled/versions/2", 0)
    assert scaled.version.digest != plain.digest


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "lambda", "pickle"])
def test_a_file_that_is_no_allowed_network_is_refused_and_leaves_nothing(
    stub: Any, server: Any, tmp_path: Path, damage: str
) -> None:
    content = network(tmp_path, seed=6)
    bad = {
        "cut": content[: len(content) // 2],
        "empty": b"",
        "garbage": bytes(range(256)) * 100,
        "lambda": network(tmp_path, seed=6, head="Lambda"),
        "pickle": b"\x80\x04cposix\nsystem\n.",
    }[damage]
    before = stored(server.data)
    text = refused(grpc.StatusCode.INVALID_ARGUMENT, stub.ImportModel, messages(bad, "refused"))
    assert "\n" not in text
    assert str(server.data) not in text
    refused(grpc.StatusCode.NOT_FOUND, stub.GetModel, pb.GetModelRequest(name="models/refused"))
    assert stored(server.data) == before


@pytest.mark.parametrize("damage", ["cut", "lambda"])
def test_a_keras_file_that_is_no_allowed_network_is_refused_and_leaves_nothing(
    stub: Any, server: Any, tmp_path: Path, damage: str
) -> None:
    stub.ImportModel(messages(network(tmp_path, seed=10), "exported"))
    request = pb.ExportModelRequest(name="models/exported/versions/1", format="keras")
    good = b"".join(piece.data for piece in stub.ExportModel(request))
    bad = good[: len(good) // 2] if damage == "cut" else with_lambda(good)
    while any((server.data / "staging").iterdir()):  # the export's file goes after the last byte of it has come
        time.sleep(0.01)
    before = stored(server.data)
    text = refused(grpc.StatusCode.INVALID_ARGUMENT, stub.ImportModel, messages(bad, "refused-keras"))
    assert ("Lambda" in text) == (damage == "lambda"), text
    refused(grpc.StatusCode.NOT_FOUND, stub.GetModel, pb.GetModelRequest(name="models/refused-keras"))
    assert stored(server.data) == before
    assert list((server.data / "staging").iterdir()) == []


def with_lambda(keras_file: bytes) -> bytes:
    """Returns a .keras file with its dense layers made lambda layers."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(keras_file)) as source, zipfile.ZipFile(changed, "w") as copy:
        for name in source.namelist():
            copy.writestr(name, source.read(name).replace(b'"Dense"', b'"Lambda"'))
    return changed.getvalue()


def with_members(main: bytes, *members: tuple[str, bytes], model: str) -> Iterator[pb.ImportModelRequest]:
    """Yields the messages of an import of several files."""
    yield from messages(main, model, size_bytes=0, file_name="main.h5")
    for name, content in members:
        yield pb.ImportModelRequest(member=pb.ImportMember(name=name))
        yield pb.ImportModelRequest(data=content)


def test_an_import_may_have_several_files(stub: Any, tmp_path: Path) -> None:
    request = with_members(network(tmp_path, seed=11), ("variables/a", b"x"), ("variables/b", b""), model="several")
    assert stub.ImportModel(request).version.name == "models/several/versions/1"


@pytest.mark.parametrize("name", ["../a", "/a", "a/../b", "a\\b", "", "a//b", "a\0b", "a\u202eb", "x" * 201, "main.h5"])
def test_a_file_whose_name_misleads_is_refused(stub: Any, server: Any, tmp_path: Path, name: str) -> None:
    before = stored(server.data)
    request = with_members(network(tmp_path, seed=12), (name, b"x"), model="misled")
    refused(grpc.StatusCode.INVALID_ARGUMENT, stub.ImportModel, request)
    assert stored(server.data) == before


def test_too_many_files_are_refused(stub: Any) -> None:
    request = with_members(b"x", *((f"{number}", b"x") for number in range(1_000)), model="many")
    assert "1000 files" in refused(grpc.StatusCode.RESOURCE_EXHAUSTED, stub.ImportModel, request)


def test_an_import_that_breaks_off_leaves_nothing(stub: Any, server: Any, tmp_path: Path) -> None:
    before = stored(server.data)
    content = network(tmp_path, seed=7)
    refused(grpc.StatusCode.INVALID_ARGUMENT, stub.ImportModel, messages(content, "broken", size_bytes=1 << 20))
    assert stored(server.data) == before


def test_a_message_of_more_than_a_mebibyte_is_refused(stub: Any, server: Any) -> None:
    before = stored(server.data)
    pieces = [*messages(b"", "large"), pb.ImportModelRequest(data=bytes((1 << 20) + 1))]
    assert "send at most 1048576" in refused(grpc.StatusCode.INVALID_ARGUMENT, stub.ImportModel, iter(pieces))
    assert stored(server.data) == before


def test_the_export_of_a_layer_that_changed_on_disk_is_data_loss(stub: Any, server: Any, tmp_path: Path) -> None:
    before = stored(server.data)
    stub.ImportModel(messages(network(tmp_path, seed=8), "rotten"))
    for path in stored(server.data) - before:
        if b"kernel" in path.read_bytes()[:200]:
            path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    request = pb.ExportModelRequest(name="models/rotten/versions/1", format="keras")
    refused(grpc.StatusCode.DATA_LOSS, lambda r: list(stub.ExportModel(r)), request)


def test_an_export_that_is_cancelled_leaves_nothing(stub: Any, server: Any, tmp_path: Path) -> None:
    stub.ImportModel(messages(network(tmp_path, seed=9), "left"))
    request = pb.ExportModelRequest(name="models/left/versions/1", format="keras")
    for wait_seconds in (0.005, 0.01, 0.02, 0.04):
        call = stub.ExportModel(request)
        time.sleep(wait_seconds)
        call.cancel()
    list(stub.ExportModel(request))  # the workbench does one after the other, so it is through with those before
    deadline = time.monotonic() + 5
    while list((server.data / "staging").iterdir()):
        assert time.monotonic() < deadline
