"""Every hostile file is refused by a real server, and leaves nothing; every benign one is taken in.

And each half of the defence alone: the rules without the jail, the jail without the rules.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status
from sample import INVALID, TAKEN, Canaries, Sample

from frostline.v1 import model_service_pb2 as pb
from frostline.v1.model_service_pb2_grpc import ModelServiceStub
from frostline_server.embedded import serve
from frostline_zoo.errors import ExhaustedError, InvalidError, ZooError

SECONDS = 200  # the first one waits until the workbench is warm
FLIPPED = 12
NAMES = ["a\0b", "..", "../a", "%2e%2e", "a\u202eb", "a\\b", "a;b", "a b", "A", "a/b", "", "x" * 64]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def stub(data: Path) -> Iterator[Any]:
    with serve(data, options=["--require-sandbox"]) as address, grpc.insecure_channel(address) as channel:
        yield ModelServiceStub(channel)


def messages(sample: Sample, model: str) -> Iterator[pb.ImportModelRequest]:
    yield pb.ImportModelRequest(header=pb.ImportModelHeader(model=f"models/{model}", file_name=sample.name))
    for start in range(0, len(sample.content), 1 << 20):
        yield pb.ImportModelRequest(data=sample.content[start : start + (1 << 20)])


def outcome(stub: Any, sample: Sample, model: str) -> tuple[str, str]:
    """Returns how an import ends: its status and its reason."""
    try:
        stub.ImportModel(messages(sample, model), timeout=SECONDS)
    except grpc.RpcError as error:
        info = ErrorInfo()
        for detail in rpc_status.from_call(error).details:
            detail.Unpack(info)
        return error.code().name, info.reason
    return TAKEN, ""


def files_below(*folders: Path) -> set[Path]:
    return {path for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_every_hostile_file_is_refused_and_leaves_nothing(
    stub: Any, data: Path, corpus: dict[str, Sample], canaries: Canaries
) -> None:
    canaries.reset()
    hostile = [sample for sample in corpus.values() if sample.status != TAKEN]
    before = files_below(data / "blobs", data / "staging")
    found = {sample.number: outcome(stub, sample, "hostile") for sample in hostile}
    wrong = {
        sample.number: (sample.what, found[sample.number])
        for sample in hostile
        if found[sample.number][0] != sample.status or found[sample.number][1] not in sample.reasons
    }
    assert wrong == {}
    assert files_below(data / "blobs", data / "staging") == before
    assert list(stub.ListModels(pb.ListModelsRequest()).models) == []
    assert canaries.disturbed() == []


def test_every_benign_file_is_taken_in(stub: Any, corpus: dict[str, Sample]) -> None:
    benign = [sample for sample in corpus.values() if sample.status == TAKEN]
    assert len(benign) >= 8
    assert {sample.number: outcome(stub, sample, sample.number.lower()) for sample in benign} == {
        sample.number: (TAKEN, "") for sample in benign
    }


def test_files_with_flipped_bits_are_read_or_refused(stub: Any, data: Path, corpus: dict[str, Sample]) -> None:
    """M30. What a bit changes may be a number, and then the file is another good one."""
    random_bits = random.Random(30)
    good = corpus["B06"].content
    for _ in range(FLIPPED):
        content = bytearray(good)
        for _ in range(8):
            content[random_bits.randrange(8, len(content))] ^= 1 << random_bits.randrange(8)
        status, reason = outcome(stub, Sample("M30", "flipped bits", "x.h5", bytes(content), INVALID), "flipped")
        assert status in (TAKEN, INVALID, "RESOURCE_EXHAUSTED"), reason
    assert files_below(data / "staging") == set()


@pytest.mark.parametrize("name", NAMES)
def test_names_that_mislead_are_refused(stub: Any, corpus: dict[str, Sample], name: str) -> None:
    """M76."""
    assert outcome(stub, corpus["B06"], name)[0] == INVALID


@pytest.mark.keras
def test_the_rules_alone_refuse_every_hostile_file(
    corpus: dict[str, Sample], canaries: Canaries, tmp_path: Path
) -> None:
    from frostline_zoo.networks.importer import import_network

    canaries.reset()
    wrong = {}
    for sample in corpus.values():
        path = tmp_path / (sample.name or "file")
        path.write_bytes(sample.content)
        try:
            import_network(path)
            found: tuple[str, str] = (TAKEN, "")
        except ZooError as error:
            status = {InvalidError: "INVALID_ARGUMENT", ExhaustedError: "RESOURCE_EXHAUSTED"}[type(error)]
            found = (status, error.reason)
        if found[0] != sample.status or (sample.reasons and found[1] not in sample.reasons):
            wrong[sample.number] = found
    assert wrong == {}
    assert canaries.disturbed() == []


def test_the_jail_alone_holds_a_reader_without_rules(
    corpus: dict[str, Sample], canaries: Canaries, tmp_path: Path
) -> None:
    paths = []
    for sample in corpus.values():
        paths.append(tmp_path / sample.number)
        paths[-1].write_bytes(sample.content)
    program = [sys.executable, str(Path(__file__).with_name("unguarded.py"))]
    results = {}
    for way in ("open", "locked"):
        canaries.reset()
        (tmp_path / way / "deeper").mkdir(parents=True)
        ended = subprocess.run([*program, way, *paths], cwd=tmp_path / way / "deeper", capture_output=True, timeout=120)
        secrets_read = ended.stdout.count(b"read\n")
        unpacked = len(files_below(tmp_path / way))
        results[way] = (canaries.disturbed(), secrets_read, unpacked, ended.stdout.endswith(b"done\n"))
    disturbed, secrets_read, unpacked, ended_well = results["open"]
    assert set(disturbed) == {"written", "connected"}
    assert (secrets_read >= 3, unpacked > 10, ended_well) == (True, True, True)
    assert results["locked"] == ([], 0, 0, True)
