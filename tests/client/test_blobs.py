"""Blobs to a real server and back."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from frostline_client import Client
from frostline_client.errors import NotFoundError, UnavailableError
from frostline_server.embedded import address_of, start

MIB = 1 << 20


@pytest.fixture
def store(store_address: str) -> Iterator[Client]:
    with Client(store_address) as client:
        yield client


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.mark.parametrize("size_bytes", [0, 1, MIB, MIB + 1, 5 * MIB])
def test_a_blob_comes_back_as_it_went(store: Client, tmp_path: Path, size_bytes: int) -> None:
    content = random.Random(size_bytes).randbytes(size_bytes)
    (tmp_path / "in").write_bytes(content)
    assert store.blobs.upload(tmp_path / "in") == store.blobs.upload(content) == digest_of(content)
    assert store.blobs.read(digest_of(content)) == content
    assert store.blobs.download(digest_of(content), tmp_path / "out") == size_bytes
    assert (tmp_path / "out").read_bytes() == content


def test_only_what_is_missing_is_named(store: Client) -> None:
    here, absent = store.blobs.upload(os.urandom(10)), digest_of(os.urandom(10))
    assert store.blobs.find_missing([absent, here, absent]) == [absent, absent]
    assert store.blobs.find_missing([here] * 20_001) == []


def test_a_blob_that_is_there_is_not_sent_again(store: Client) -> None:
    content, told = os.urandom(3 * MIB), []
    store.blobs.upload(content)
    store.blobs.upload(content, progress=lambda done, total: told.append(done))
    assert told == []


def test_a_large_blob_is_hashed_while_it_is_sent(store: Client, tmp_path: Path) -> None:
    content = os.urandom(20 * MIB + 7)
    (tmp_path / "in").write_bytes(content)
    assert store.blobs.upload(tmp_path / "in") == digest_of(content)
    assert store.blobs.read(digest_of(content)) == content


def test_a_large_blob_that_is_there_is_not_sent_to_its_end(store: Client) -> None:
    content, told = os.urandom(64 * MIB), []
    store.blobs.upload(content)
    store.blobs.upload(content, progress=lambda done, total: told.append(done) or time.sleep(0.01))
    assert len(content) not in told


def test_transfers_tell_how_far_they_are(store: Client, tmp_path: Path) -> None:
    content, sent, received = os.urandom(3 * MIB), [], []
    digest = store.blobs.upload(content, progress=lambda done, total: sent.append((done, total)))
    store.blobs.download(digest, tmp_path / "out", progress=lambda done, total: received.append((done, total)))
    assert sent == [(n * MIB, 3 * MIB) for n in (1, 2, 3)]
    assert received[-1] == (3 * MIB, 3 * MIB)


def test_an_unknown_blob_leaves_no_file(store: Client, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        store.blobs.download(digest_of(b"nowhere"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_is_said_so(store: Client, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.blobs.upload(tmp_path / "nothing")


def test_a_broken_connection_costs_only_the_rest(
    store_address: str, tmp_path: Path, cutting: Callable[..., Any]
) -> None:
    content = os.urandom(8 * MIB)
    proxy, told = cutting(store_address, [5 * MIB, 2 * MIB, 5 * MIB]), []
    with Client(proxy.address) as zoo:
        digest = zoo.blobs.upload(content, progress=lambda done, total: told.append(done))
        zoo.blobs.download(digest, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content
    assert proxy.cuts >= 3
    assert told.count(MIB) == 1, "it started again from the beginning"


def test_an_upload_outlives_a_restart_of_the_server(tmp_path: Path) -> None:
    content = os.urandom(24 * MIB)
    first = start(tmp_path / "data", workers=False)
    address = address_of(first, tmp_path / "data")
    servers = [first]

    def restart(done: int, total: int) -> None:
        if done == 8 * MIB and len(servers) == 1:
            first.kill()
            first.wait()
            servers.append(start(tmp_path / "data", listen=address, workers=False))

    try:
        with Client(address) as zoo:
            digest = zoo.blobs.upload(content, progress=restart)
            assert zoo.blobs.find_missing([digest]) == []
    finally:
        for server in servers:
            server.kill()
            server.wait()
    assert len(servers) == 2
    with pytest.raises(UnavailableError, match="no server answers"), Client(address) as zoo:
        zoo.blobs.read(digest)
