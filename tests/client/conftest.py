"""A real server for the tests of the client, and the command line in this process."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result

from frostline_client import Client, Job, layers, optimizers
from frostline_client.cli.main import cli
from frostline_client.records import Version
from frostline_server.embedded import serve


@pytest.fixture(scope="session")
def store_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server without workers: it keeps things, and computes nothing."""
    with serve(tmp_path_factory.mktemp("store"), workers=False) as address:
        yield address


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with its workers."""
    with serve(tmp_path_factory.mktemp("zoo")) as address:
        yield address


@dataclass(frozen=True)
class Trained:
    """A model trained from scratch on rows of four numbers, and one made from it; both have layers h1, h2, dense."""

    base: Version
    top: Version
    job: Job


@pytest.fixture(scope="session")
def rows() -> npt.NDArray[np.float32]:
    """Forty-eight rows of four numbers."""
    return np.random.default_rng(7).normal(size=(48, 4)).astype(np.float32)


@pytest.fixture(scope="session")
def trained(address: str, rows: npt.NDArray[np.float32]) -> Iterator[Trained]:
    """Two models in the zoo: the second keeps the first one's h1 and h2."""
    with Client(address) as zoo:
        data = zoo.datasets.push("signs", rows, (rows[:, 0] > 0).astype(int))
        other = zoo.datasets.push("sizes", rows, (np.abs(rows[:, 1]) > 0.6).astype(int))
        head = [layers.Dense(8, "relu", name="h1"), layers.Dense(6, "relu", name="h2"), layers.Dense(2, "softmax")]
        base = zoo.train(name="signs", data=data, head=head, epochs=2, seed=1).result()
        job = zoo.train(
            name="sizes",
            base=base,
            reuse="h2",
            head=[layers.Dense(2, activation="softmax")],
            data=other,
            validation={"fraction": 0.25, "seed": 3},
            optimizer=optimizers.Adam(0.01),
            epochs=3,
            seed=2,
        )
        yield Trained(base, job.result(), job)


@pytest.fixture
def zoo(address: str) -> Iterator[Client]:
    with Client(address) as client:
        yield client


@pytest.fixture
def frostline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def cutting() -> type[Cutting]:
    """Makes proxies that cut connections."""
    return Cutting


class Cutting(threading.Thread):
    """A proxy that cuts its first connections after so many bytes, in either direction or from the server only."""

    def __init__(self, target: str, after_bytes: list[int], answers_only: bool = False) -> None:
        super().__init__(daemon=True)
        self._target = target.rsplit(":", 1)
        self._after_bytes = after_bytes
        self._answers_only = answers_only
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.cuts = 0
        self.start()

    def run(self) -> None:
        while True:
            near, _ = self._listener.accept()
            far = socket.create_connection((self._target[0], int(self._target[1])))
            limit = [self._after_bytes.pop(0) if self._after_bytes else 1 << 60]
            no_limit = [1 << 60] if self._answers_only else limit
            for source, sink, left in ((near, far, no_limit), (far, near, limit)):
                threading.Thread(target=self._pump, args=(source, sink, left), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, left: list[int]) -> None:
        try:
            while piece := source.recv(1 << 16):
                left[0] -= len(piece)
                if left[0] < 0:
                    self.cuts += 1
                    break
                sink.sendall(piece)
        except OSError:
            pass
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # closing alone waits for the thread that reads from it
            end.close()
