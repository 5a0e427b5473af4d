"""The command `frostline-server`: starting, refusing to start, and stopping."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from pydantic import ValidationError

from frostline.v1 import blob_service_pb2 as pb
from frostline.v1.blob_service_pb2_grpc import BlobServiceStub
from frostline_client import Client
from frostline_server.embedded import StartError, address_of, serve, start
from frostline_server.probe import is_serving
from frostline_server.settings import Settings


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """Runs the command with options that it refuses."""
    command = [sys.executable, "-m", "frostline_server.main", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_it_prints_one_line_once_it_answers(tmp_path: Path) -> None:
    process = start(tmp_path, workers=False)
    address = address_of(process, tmp_path)
    assert is_serving(address)
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    assert process.stdout is not None
    assert process.stdout.read() == ""
    assert not is_serving(address)


def test_health_and_reflection_know_every_service(bare_server: Any) -> None:
    health = health_pb2_grpc.HealthStub(bare_server.channel)
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    reflect = reflection_pb2_grpc.ServerReflectionStub(bare_server.channel)
    (answer,) = reflect.ServerReflectionInfo(iter([ask]))
    names = {service.name for service in answer.list_services_response.service}
    assert {"frostline.v1.ModelService", "frostline.v1.BlobService", "grpc.health.v1.Health"} <= names
    for name in ["", *(name for name in names if name.startswith("frostline."))]:
        assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == 1
    with pytest.raises(grpc.RpcError) as refusal:
        health.Check(health_pb2.HealthCheckRequest(service="unheard.of"))
    assert refusal.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_second_server_on_the_same_data_is_refused(bare_server: Any) -> None:
    ended = run("--data", str(bare_server.data), "--listen", "127.0.0.1:0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    assert "another server uses" in ended.stderr


def test_a_port_that_is_taken_is_refused_in_one_line_and_nothing_is_made(bare_server: Any, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=f"{bare_server.address} cannot be listened on"):
        serve(tmp_path, listen=bare_server.address, workers=False).__enter__()
    ended = run("--data", str(tmp_path / "data"), "--listen", bare_server.address)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert not (tmp_path / "data").exists()


def test_it_listens_beyond_this_machine_only_when_told_to(tmp_path: Path) -> None:
    ended = run("--data", str(tmp_path / "data"), "--listen", "0.0.0.0:0")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "--insecure" in ended.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("listen", ["[::]:0", "example.org:80", "192.168.0.1:8470"])
def test_what_other_machines_reach_is_not_listened_on_by_accident(listen: str) -> None:
    with pytest.raises(ValidationError, match="--insecure"):
        Settings(listen=listen)
    assert Settings(listen=listen, insecure=True).listen == listen


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:8470", "[::1]:8470", "127.8.9.1:8470"])
def test_this_machine_may_be_listened_on(listen: str) -> None:
    assert Settings(listen=listen).listen == listen


@pytest.mark.parametrize("listen", ["8470", "127.0.0.1:", "127.0.0.1:70000", ""])
def test_what_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, listen: str) -> None:
    monkeypatch.setenv("FROSTLINE_LISTEN", listen)
    with pytest.raises(ValidationError, match="HOST:PORT"):
        Settings()


@pytest.mark.parametrize(
    ("given", "size_bytes"),
    [("10GiB", 10 << 30), ("500MB", 500_000_000), ("1.5 GiB", 3 << 29), ("0", 0), ("1048576", 1 << 20)],
)
def test_sizes_are_written_as_people_write_them(given: str, size_bytes: int) -> None:
    assert Settings(feature_bytes=given).feature_bytes == size_bytes


@pytest.mark.parametrize("given", ["", "ten", "-1", "10XB", "nan", "9999999999 PB", "512KiB", "1"])
def test_what_is_no_budget_is_refused(given: str) -> None:
    with pytest.raises(ValidationError):
        Settings(feature_bytes=given)


def test_hosts_of_hubs_are_names_with_commas_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TFHUB_CACHE_DIR", raising=False)
    assert (Settings().hub_hosts, Settings().hub_cache) == (frozenset(), None)
    monkeypatch.setenv("FROSTLINE_HUB_HOSTS", "tfhub.dev, www.Kaggle.com,localhost:8443,")
    monkeypatch.setenv("TFHUB_CACHE_DIR", "hub")
    assert Settings().hub_hosts == {"tfhub.dev", "www.kaggle.com", "localhost:8443"}
    assert Settings().hub_cache == Path("hub")
    monkeypatch.setenv("TFHUB_CACHE_DIR", "")
    assert Settings().hub_cache is None


@pytest.mark.parametrize("hosts", ["https://tfhub.dev", "*.kaggle.com", "a b", "user@tfhub.dev", "-", "[::1]"])
def test_what_is_no_host_of_a_hub_is_refused(hosts: str) -> None:
    with pytest.raises(ValidationError, match=r"is no host: write names with commas between"):
        Settings(hub_hosts=hosts)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ["--feature-bytes", "1000"],
            "--feature-bytes: 1000 bytes hold hardly a batch of features: give at least 1MiB",
        ),
        (["--feature-bytes", "much"], "--feature-bytes: 'much' is not a number of bytes: write it as 10GiB"),
        (["--feature-memory", "0"], "--feature-memory: 0 bytes hold hardly a batch"),
        (["--metrics", "9470"], "--metrics: '9470' is no address to listen on"),
        (["--metrics", "0.0.0.0:9470"], "0.0.0.0:9470 can be reached from other machines"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_the_start_in_one_line(
    tmp_path: Path, options: list[str], line: str
) -> None:
    ended = run("--data", str(tmp_path / "data"), *options)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert ended.stderr.startswith(f"frostline-server: {line}")
    assert not (tmp_path / "data").exists()


def test_an_unknown_option_is_wrong_usage() -> None:
    assert run("--folder", "x").returncode == 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_idle_server_stays_small_also_after_work(tmp_path: Path) -> None:
    process = start(tmp_path, workers=False)

    def resident_bytes() -> int:
        return 1024 * int(Path(f"/proc/{process.pid}/status").read_text().split("VmRSS:")[1].split()[0])

    try:
        with Client(address_of(process, tmp_path)) as zoo:
            assert resident_bytes() < 150e6
            zoo.datasets.push("rows", np.random.default_rng(0).integers(0, 256, (70_000, 784), np.uint8))
        deadline = time.monotonic() + 30  # what was freed is given back from time to time
        while resident_bytes() >= 150e6:
            assert time.monotonic() < deadline
            time.sleep(0.5)
    finally:
        process.kill()
        process.wait()


def test_a_call_under_way_may_end_while_the_server_stops(tmp_path: Path) -> None:
    process = start(tmp_path, workers=False)
    address, arrived, stopping = address_of(process, tmp_path), threading.Event(), threading.Event()
    digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    def upload() -> Iterator[pb.UploadBlobRequest]:
        yield pb.UploadBlobRequest(digest=digest, size_bytes=3, data=b"a")
        arrived.set()
        stopping.wait(10)
        yield pb.UploadBlobRequest(data=b"bc")

    with grpc.insecure_channel(address) as channel:
        call = BlobServiceStub(channel).UploadBlob.future(upload())
        arrived.wait(10)
        while not BlobServiceStub(channel).QueryUpload(pb.QueryUploadRequest(digest=digest)).committed_size_bytes:
            pass
        process.send_signal(signal.SIGTERM)
        while is_serving(address):
            pass
        stopping.set()
        assert call.result().committed_size_bytes == 3
    assert process.wait(15) == 0


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    process = start(tmp_path, workers=False)
    digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with grpc.insecure_channel(address_of(process, tmp_path)) as channel:
        first = pb.UploadBlobRequest(digest=digest, size_bytes=3, data=b"abc")
        BlobServiceStub(channel).UploadBlob(iter([first]))
    process.kill()
    process.wait()
    with serve(tmp_path, workers=False) as address, grpc.insecure_channel(address) as channel:
        (answer,) = BlobServiceStub(channel).ReadBlob(pb.ReadBlobRequest(digest=digest))
        assert answer.data == b"abc"


def test_a_server_of_ones_own_ends_with_a_killed_parent(tmp_path: Path) -> None:
    program = f"""
import time
from frostline_server.embedded import serve
with serve({str(tmp_path)!r}, workers=False) as address:
    print(address, flush=True)
    time.sleep(1000)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        address = parent.stdout.readline().strip()
        assert is_serving(address)
        parent.kill()
    deadline = time.monotonic() + 10
    while is_serving(address):
        assert time.monotonic() < deadline
