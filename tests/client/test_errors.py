"""Statuses become Python's errors."""

from __future__ import annotations

import socket

import grpc
import pytest

from frostline_client import Client, errors
from frostline_client.errors import ERROR_OF, FrostlineError, InvalidError, NoServerError


def test_every_status_of_a_failure_has_its_error() -> None:
    assert set(ERROR_OF) == set(grpc.StatusCode) - {grpc.StatusCode.OK}


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    def below(kind: type[FrostlineError]) -> set[str]:
        return {kind.__name__}.union(*(below(child) for child in kind.__subclasses__()))

    assert errors.__doc__ is not None
    assert below(FrostlineError) == {word for word in errors.__doc__.split() if word.endswith("Error")}


def test_an_address_where_no_server_answers_is_named_with_the_mend() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    message = f"no server answers at {address}: start one with frostline-server, or name it with --server"
    with Client(address) as zoo, pytest.raises(NoServerError, match=message):
        zoo.models.get("mnist")


@pytest.mark.parametrize("address", ["8470", "localhost", "localhost:", "localhost:http", ":8470", "host:70000"])
def test_what_is_not_an_address_is_refused_before_any_call(address: str) -> None:
    with pytest.raises(InvalidError, match="write HOST:PORT"):
        Client(address)


def test_the_address_comes_from_the_environment_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROSTLINE_SERVER", "zoo.example:1234")
    assert Client().address == "zoo.example:1234"
    assert Client("127.0.0.1:9").address == "127.0.0.1:9"
    monkeypatch.delenv("FROSTLINE_SERVER")
    assert Client().address == "127.0.0.1:8470"
