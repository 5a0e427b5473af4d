"""Servers for tests: real ones, in processes of their own, on free ports, with data of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from frostline_server.embedded import serve


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, its data folder, and a connection to it."""

    address: str
    data: Path
    channel: grpc.Channel


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with its workers. It is everybody's: give models, datasets and jobs names of your own."""
    yield from _run(tmp_path_factory.mktemp("server"), workers=True)


@pytest.fixture(scope="session")
def bare_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without workers, there at once. It is everybody's: give models and datasets names of your own."""
    yield from _run(tmp_path_factory.mktemp("bare_server"), workers=False)


def _run(data: Path, *, workers: bool) -> Iterator[Server]:
    with serve(data, workers=workers) as address, grpc.insecure_channel(address) as channel:
        yield Server(address, data, channel)
