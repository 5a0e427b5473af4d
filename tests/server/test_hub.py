"""Handles of TF Hub: out of a cache, and from a real HTTPS server; where else they may not come from."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from frostline_server.services.hub import Hub, is_handle
from frostline_zoo.errors import ExhaustedError, FailedPreconditionError, InvalidError
from tests.server.hub.host import CERTIFICATE, HubHost, hub_host, slow_to_greet

HANDLE = "https://tfhub.dev/google/tiny/1"
LARGEST = 1_000


@pytest.fixture(scope="module")
def running() -> Iterator[HubHost]:
    with hub_host() as host:
        yield host


@pytest.fixture
def host(running: HubHost, monkeypatch: pytest.MonkeyPatch) -> HubHost:
    """A hub whose certificate is trusted, and that has nothing yet."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "localhost,127.0.0.1")
    running.answers.clear()
    running.asked.clear()
    running.trickles.clear()
    return running


def fetched(hub: Hub, handle: str) -> dict[str, bytes]:
    """Returns the files of a handle."""
    files: dict[str, bytes] = {}
    name = ""
    for part in hub.files(handle, LARGEST):
        if isinstance(part, str):
            name, files[part] = part, b""
        else:
            files[name] += part
    return files


def put_into_cache(cache: Path, handle: str, **files: bytes) -> None:
    """Keeps files as TensorFlow's library does: below the SHA-1 of the handle."""
    for name, content in files.items():
        path = cache / hashlib.sha1(handle.encode()).hexdigest() / name.replace("__", "/").replace("_pb", ".pb")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_what_the_library_has_in_its_cache_is_taken_from_there(tmp_path: Path) -> None:
    put_into_cache(tmp_path, HANDLE, assets__a=b"", saved_model_pb=b"graph", variables__index=b"numbers")
    files = fetched(Hub(tmp_path, ()), HANDLE)
    assert files == {"saved_model.pb": b"graph", "assets/a": b"", "variables/index": b"numbers"}
    assert next(iter(files)) == "saved_model.pb"


def test_a_link_in_the_cache_is_not_followed(tmp_path: Path) -> None:
    put_into_cache(tmp_path / "cache", HANDLE, saved_model_pb=b"graph")
    (tmp_path / "secret").write_bytes(b"secret")
    next((tmp_path / "cache").iterdir()).joinpath("variables").symlink_to(tmp_path / "secret")
    assert fetched(Hub(tmp_path / "cache", ()), HANDLE) == {"saved_model.pb": b"graph"}


def test_a_cache_that_holds_half_of_a_network_is_told_from_an_empty_one(tmp_path: Path) -> None:
    put_into_cache(tmp_path, HANDLE, variables__index=b"numbers")
    with pytest.raises(FailedPreconditionError, match=r"holds https://tfhub.dev/google/tiny/1 without its network"):
        fetched(Hub(tmp_path, ()), HANDLE)


def test_a_network_is_fetched_as_a_tarball(host: HubHost, tmp_path: Path) -> None:
    handle = host.put("/google/tiny/1", b"tarball")
    assert fetched(Hub(tmp_path, {host.host}), handle + "?a=b") == {"network.tar.gz": b"tarball"}
    assert host.asked == ["/google/tiny/1?a=b&tf-hub-format=compressed"]
    assert list(tmp_path.iterdir()) == []


def test_redirects_are_followed_to_hosts_that_are_allowed(host: HubHost) -> None:
    host.put("/store/tiny.tar.gz", b"tarball")
    handle = host.put("/google/tiny/1", b"", 303, Location="/store/tiny.tar.gz?key=1")
    assert fetched(Hub(None, {host.host}), handle) == {"network.tar.gz": b"tarball"}
    assert host.asked[1] == "/store/tiny.tar.gz?key=1"


@pytest.mark.parametrize(
    ("target", "there"),
    [
        ("https://127.0.0.1:{port}/store", "127.0.0.1:"),
        ("https://localhost/store", "localhost,"),
        ("http://localhost:{port}/store", "an address that begins with http:"),
        ("file:///etc/passwd", "an address that begins with file:"),
        ("https://localhost:{port}@127.0.0.1:{port}/store", "127.0.0.1:"),
        ("//127.0.0.1:{port}/store", "127.0.0.1:"),
        ("https://localhost:none/store", "cannot be fetched"),
        ("https://[::1/store", "cannot be fetched"),
        ("/google/tiny/1", "leads from one address to the next without end"),
    ],
)
def test_redirects_lead_nowhere_else(host: HubHost, target: str, there: str) -> None:
    host.put("/store", b"tarball")
    handle = host.put("/google/tiny/1", b"", 302, Location=target.format(port=host.port))
    with pytest.raises(FailedPreconditionError, match=there) as refused:
        fetched(Hub(None, {host.host}), handle)
    assert refused.value.reason == "NOT_FETCHED"
    assert not any("store" in path for path in host.asked)


@pytest.mark.parametrize("hosts", [set(), {"tfhub.dev"}])
def test_nothing_is_fetched_from_where_it_was_not_allowed(host: HubHost, hosts: set[str]) -> None:
    handle = host.put("/google/tiny/1", b"tarball")
    with pytest.raises(FailedPreconditionError, match=r"--hub-hosts, put it into the server's \$TFHUB_CACHE_DIR, or"):
        fetched(Hub(None, hosts), handle)
    assert host.asked == []


@pytest.mark.parametrize(
    "handle",
    [
        "http://{host}/google/tiny/1",
        "https://user:secret@{host}/google/tiny/1",
        "https:///google/tiny/1",
        "https://{host}/google/tiny/1#part",
        "https://{host}/google/a tiny/1",
        "https://{host}/google/\u202etiny/1",
        "https://{host}/" + "x" * 500,
        "https://localhost:none/google/tiny/1",
        "https://[::1/google/tiny/1",
    ],
)
def test_what_is_no_plain_https_address_is_no_handle(host: HubHost, handle: str) -> None:
    assert is_handle(handle)
    with pytest.raises(InvalidError, match="write https://HOST/PATH, as the hub shows it"):
        fetched(Hub(None, {host.host, "localhost"}), handle.format(host=host.host))
    assert host.asked == []


@pytest.mark.parametrize(("size", "said"), [(LARGEST + 1, str(LARGEST + 1)), (100, "99999999999"), (LARGEST + 1, "x")])
def test_a_network_that_is_too_large_is_refused(host: HubHost, size: int, said: str) -> None:
    handle = host.put("/google/large/1", b"x" * size, Content_Length=said)
    with pytest.raises(ExhaustedError, match="this server takes at most 1000 bytes"):
        fetched(Hub(None, {host.host}), handle)


def test_a_network_without_a_length_is_too_large_once_it_is(host: HubHost) -> None:
    host.answers["/google/large/1"] = (200, {}, b"x" * (LARGEST + 1))
    with pytest.raises(ExhaustedError):
        fetched(Hub(None, {host.host}), f"https://{host.host}/google/large/1")


def test_an_answer_that_breaks_off_is_no_network(host: HubHost) -> None:
    handle = host.put("/google/tiny/1", b"half", Content_Length="900")
    with pytest.raises(FailedPreconditionError, match="ended at 4 of 900 bytes: try again"):
        fetched(Hub(None, {host.host}), handle)


def test_what_the_hub_refuses_is_refused_with_the_mend(host: HubHost) -> None:
    hub = Hub(None, {host.host})
    with pytest.raises(InvalidError, match=r"the hub has no network .*: look up how it is spelled"):
        fetched(hub, f"https://{host.host}/google/nothing/1")
    with pytest.raises(FailedPreconditionError, match="status 403: see whether its page asks you to sign in"):
        fetched(hub, host.put("/google/agreed/1", b"", 403))


def test_a_host_that_cannot_say_who_it_is_is_not_listened_to(host: HubHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    handle = host.put("/google/tiny/1", b"tarball")
    with pytest.raises(FailedPreconditionError, match="cannot be fetched from here"):
        fetched(Hub(None, {host.host}), handle)
    assert host.asked == []


def test_a_network_that_comes_too_slowly_is_given_up(host: HubHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frostline_server.services.hub.FETCH_SECONDS", 0.0)
    with pytest.raises(FailedPreconditionError, match="comes too slowly"):
        fetched(Hub(None, {host.host}), host.put("/google/tiny/1", b"tarball"))


TRICKLES = {
    "headers": b"HTTP/1.0 200 OK\r\nX: ",
    "many headers": b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 50,
    "a status": b"",
    "a body": b"HTTP/1.0 200 OK\r\n\r\n",
    "a piece of a body": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
}


@pytest.mark.parametrize("start", TRICKLES.values(), ids=TRICKLES)
def test_a_host_that_trickles_is_given_up_at_the_time_limit(
    host: HubHost, monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    monkeypatch.setattr("frostline_server.services.hub.FETCH_SECONDS", 0.5)
    host.trickles["/google/tiny/1"] = start
    began = time.monotonic()
    with pytest.raises(FailedPreconditionError, match="comes too slowly"):
        fetched(Hub(None, {host.host}), f"https://{host.host}/google/tiny/1")
    assert time.monotonic() - began < 5


def test_a_host_that_trickles_its_greeting_is_given_up_at_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frostline_server.services.hub.FETCH_SECONDS", 0.5)
    began = time.monotonic()
    with slow_to_greet() as slow, pytest.raises(FailedPreconditionError, match="comes too slowly"):
        fetched(Hub(None, {slow}), f"https://{slow}/google/tiny/1")
    assert time.monotonic() - began < 5


def test_redirects_take_from_the_time_of_the_whole(host: HubHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frostline_server.services.hub.FETCH_SECONDS", 0.5)
    host.trickles["/store"] = TRICKLES["headers"]
    handle = host.put("/google/tiny/1", b"", 303, Location="/store")
    with pytest.raises(FailedPreconditionError, match="comes too slowly"):
        fetched(Hub(None, {host.host}), handle)
    assert len(host.asked) == 2
