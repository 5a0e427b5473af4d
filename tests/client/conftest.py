"""A real server for the tests of the client, and the command line in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from frostline_client import Client
from frostline_client.cli.main import cli
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


@pytest.fixture
def zoo(address: str) -> Iterator[Client]:
    with Client(address) as client:
        yield client


@pytest.fixture
def frostline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, [str(argument) for argument in arguments])
