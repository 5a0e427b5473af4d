"""A real server that is sent samples, and how much memory it and its readers of files take meanwhile."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from frostline.v1 import model_service_pb2 as pb
from frostline.v1.model_service_pb2_grpc import ModelServiceStub
from frostline_server.embedded import address_of, start
from tests.hostile.sample import TAKEN, Sample

PIECE = 1 << 20
SECONDS = 200  # the first one waits until the workbench is warm
MOST_TRIES = 3  # which takes even longer where the machine is busy
_LOOKS_SECONDS = 0.004


@dataclass(frozen=True)
class Outcome:
    """How an import ended: its status, its reason, how long it took, and the most memory that its reader took."""

    status: str
    reason: str
    seconds: float
    jail_bytes: int

    def fits(self, sample: Sample) -> bool:
        """Whether that is how the sample's import has to end."""
        return self.status == sample.status and (self.reason in sample.reasons or not sample.is_hostile)


class RealServer:
    """A server in a process of its own, with a jail that has all its locks.

    Attributes:
        data: its data folder.
        watch: looks at its memory.
    """

    def __init__(self, channel: grpc.Channel, data: Path, watch: Watch) -> None:
        self.models = ModelServiceStub(channel)
        self._health = health_pb2_grpc.HealthStub(channel)
        self.data, self.watch = data, watch

    def send(self, sample: Sample, model: str) -> Outcome:
        """Imports a sample as a model of that name."""
        self.watch.jail_bytes = 0
        started, status, info = time.monotonic(), TAKEN, ErrorInfo()
        try:
            self.models.ImportModel(_messages(sample, model), timeout=SECONDS)
        except grpc.RpcError as error:
            status = error.code().name
            said = rpc_status.from_call(error)  # nothing where the server did not come to answer
            for detail in said.details if said else ():
                detail.Unpack(info)
        return Outcome(status, info.reason, time.monotonic() - started, self.watch.jail_bytes)

    def warm_up(self, benign: Sample) -> None:
        """Waits until the server takes in a sample: its workbench is there."""
        for _ in range(MOST_TRIES):
            if self.send(benign, "warm").status == TAKEN:
                return
        raise AssertionError("the workbench did not come")

    def stored(self) -> set[Path]:
        """Returns the files that are stored or staged."""
        return files_below(self.data / "blobs", self.data / "staging")

    def model_names(self) -> list[str]:
        """Returns the models that are there."""
        return [model.name for model in self.models.ListModels(pb.ListModelsRequest()).models]

    def is_serving(self) -> bool:
        """Whether it says that it is well."""
        answer = self._health.Check(health_pb2.HealthCheckRequest(), timeout=10)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@contextmanager
def real_server(data: Path) -> Iterator[RealServer]:
    """Runs a server."""
    process = start(data, options=["--require-sandbox"])
    try:
        with grpc.insecure_channel(address_of(process, data)) as channel, Watch(process.pid) as watch:
            yield RealServer(channel, data, watch)
    finally:
        process.terminate()
        process.wait(60)


def files_below(*folders: Path) -> set[Path]:
    """Returns all files in folders."""
    return {path for folder in folders for path in folder.rglob("*") if path.is_file()}


def _messages(sample: Sample, model: str) -> Iterator[pb.ImportModelRequest]:
    yield pb.ImportModelRequest(header=pb.ImportModelHeader(model=f"models/{model}", file_name=sample.name))
    for at, (name, content) in enumerate(sample.contents.items()):
        if at:
            yield pb.ImportModelRequest(member=pb.ImportMember(name=name))
        for first in range(0, len(content), PIECE):
            yield pb.ImportModelRequest(data=content[first : first + PIECE])


class Watch:
    """Looks every few milliseconds at how much memory a server takes, and each of its readers of files.

    A reader's peak is the kernel's own count, and lacks only what came after the last look.

    Attributes:
        jail_bytes: the most that one reader has taken; set it to 0 to start anew.
        server_bytes: the most that the server's own process has taken; the same.
    """

    def __init__(self, server: int) -> None:
        self._server = server
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.jail_bytes = self.server_bytes = 0

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def server_now(self) -> int:
        """Returns how much memory the server's own process takes."""
        return _of_status(self._server, "VmRSS")

    def _look(self) -> None:
        parents: dict[int, int] = {}
        while not self._end.wait(_LOOKS_SECONDS):
            there = {int(name) for name in os.listdir("/proc") if name.isdecimal()}
            parents = {pid: parents.get(pid) or _parent(pid) for pid in there}
            for pid in (pid for pid, parent in parents.items() if parent == self._server):
                if _is_reader(pid):
                    self.jail_bytes = max(self.jail_bytes, _of_status(pid, "VmHWM"))
            self.server_bytes = max(self.server_bytes, self.server_now())


def _parent(pid: int) -> int:
    return _of_status(pid, "PPid")


def _is_reader(pid: int) -> bool:
    with suppress(OSError):
        return b"frostline_server.jail.child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _of_status(pid: int, key: str) -> int:
    """Returns a number of a process, in bytes where it is said in kB; 0 where the process is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                number, *unit = line.partition(":")[2].split()
                return int(number) << (10 if unit else 0)
    return 0
