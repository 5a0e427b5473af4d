"""TF Hub by handle: the files of a network that a hub serves under an https address.

They come from the cache that TensorFlow's own library keeps, or over the network from hosts that are allowed. Nothing
is opened, unpacked or kept here: whoever gets the bytes has them read in the jail.
Source: the hosting protocol and the cache of tensorflow-hub 0.16.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any, NoReturn
from urllib.error import HTTPError
from urllib.parse import SplitResult, parse_qsl, urlencode, urljoin, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from frostline_server.services.arriving import too_large
from frostline_server.services.deadline import Deadline
from frostline_zoo.errors import FailedPreconditionError, InvalidError

TARBALL = "network.tar.gz"
ANSWER_SECONDS = 30.0
FETCH_SECONDS = 600.0
_GRAPH = "saved_model.pb"
_AS_A_TARBALL = ("tf-hub-format", "compressed")
_PIECE_BYTES = 1 << 20
_LONGEST_HANDLE = 500
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_HTTPS_PORT = 443


def is_handle(source: str) -> bool:
    """Whether a source is meant for a hub: an address, not a name."""
    return source.startswith(("https://", "http://"))


class Hub:
    """Finds the files of handles."""

    def __init__(self, cache: Path | None, hosts: Collection[str]) -> None:
        """Makes a hub.

        Args:
            cache: the folder in which TensorFlow's library keeps what it has fetched; it is only read.
            hosts: from where to fetch what is not there, HOST or HOST:PORT; none: from nowhere.
        """
        self._cache = cache
        self._hosts = hosts

    def files(self, handle: str, largest_bytes: int) -> Iterator[str | bytes]:
        """Yields the files of a handle, the main one first: each file's name, and then its bytes in pieces.

        Args:
            handle: `https://tfhub.dev/...` or `https://www.kaggle.com/models/...`, as the hub shows it.
            largest_bytes: the most to fetch.

        Raises:
            InvalidError: it is no such address (UNKNOWN_SOURCE), or there is no network (UNKNOWN_NETWORK).
            FailedPreconditionError: it is not in the cache, and is not fetched or cannot be (NOT_FETCHED).
            ExhaustedError: it is larger than that (TOO_LARGE).
        """
        address = _checked(handle)
        folder = self._cache and self._cache / hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()
        try:
            if folder and folder.is_dir() and any(folder.iterdir()):
                yield from _in_folder(folder, handle)
            else:
                yield TARBALL
                yield from self._fetched(address, handle, largest_bytes)
        except (OSError, HTTPException, ValueError) as error:  # ValueError: of an address that it was led to
            raise _not_fetched(handle, "cannot be fetched from here", "let the server reach its host") from error

    def _fetched(self, address: SplitResult, handle: str, largest_bytes: int) -> Iterator[bytes]:
        url = address._replace(query=urlencode([*parse_qsl(address.query), _AS_A_TARBALL])).geturl()
        with Deadline(FETCH_SECONDS) as deadline:
            try:
                yield from self._pieces(url, handle, largest_bytes, deadline)
            except (OSError, HTTPException, FailedPreconditionError) as error:
                if not deadline.left_seconds:
                    raise _not_fetched(handle, "comes too slowly", "try again later") from error
                raise

    def _pieces(self, url: str, handle: str, largest_bytes: int, deadline: Deadline) -> Iterator[bytes]:
        size = 0
        with self._answer(url, handle, deadline) as answer:
            declared = int(answer.headers.get("Content-Length", "")) if _has_length(answer) else None
            while piece := answer.read1(_PIECE_BYTES):
                size += len(piece)
                if max(size, declared or 0) > largest_bytes:
                    raise too_large(largest_bytes, handle)
                yield piece
        if declared not in (None, size) or not deadline.left_seconds:
            raise _not_fetched(handle, f"ended at {size} of {declared} bytes", "try again")

    def _answer(self, url: str, handle: str, deadline: Deadline) -> Any:
        """Returns the answer at the end of all redirects, each of which leads to an allowed host."""
        opener = OpenerDirector()  # urllib's own knows files and FTP too, and follows wherever it is led
        opener.add_handler(ProxyHandler())
        opener.add_handler(HTTPSHandler(context=deadline.context()))
        opener.add_handler(HTTPErrorProcessor())
        opener.add_handler(HTTPDefaultErrorHandler())
        for _ in range(_MOST_REDIRECTS + 1):
            self._check_allowed(url, handle)
            try:
                timeout = min(ANSWER_SECONDS, deadline.left_seconds)
                return opener.open(Request(url, headers={"User-Agent": "frostline"}), timeout=timeout)
            except HTTPError as error:
                with error:
                    target = error.headers.get("Location")
                    if error.code not in _REDIRECTS or not target:
                        _refuse_status(error.code, handle)
                    url = urljoin(url, target)
        raise _not_fetched(handle, "leads from one address to the next without end", "use the address it ends at")

    def _check_allowed(self, url: str, handle: str) -> None:
        found = urlsplit(url)
        host = _host_of(found) if found.scheme == "https" else None
        if host in self._hosts:
            return
        if not self._hosts:
            raise _not_fetched(
                handle, "is not in the server's cache, and it fetches nothing", "start it with --hub-hosts"
            )
        there = host if host else f"an address that begins with {found.scheme[:20]}:"
        raise _not_fetched(handle, f"leads to {there}, from where nothing is fetched", "name that host in --hub-hosts")


def _checked(handle: str) -> SplitResult:
    try:
        address = urlsplit(handle)
        plain = handle.isascii() and handle.isprintable() and " " not in handle and len(handle) <= _LONGEST_HANDLE
        if plain and address.scheme == "https" and address.hostname and not address.fragment and "@" not in handle:
            _host_of(address)
            return address
    except ValueError:
        pass
    text = f"{handle[:80]!r} is no handle of a hub: write https://HOST/PATH, as the hub shows it"
    raise InvalidError(text, reason="UNKNOWN_SOURCE")


def _host_of(address: SplitResult) -> str | None:
    """Returns HOST, or HOST:PORT where that is not the usual one. Raises ValueError."""
    port = address.port or _HTTPS_PORT
    return address.hostname if port == _HTTPS_PORT else f"{address.hostname}:{port}"


def _in_folder(folder: Path, handle: str) -> Iterator[str | bytes]:
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    names = {path.relative_to(folder).as_posix(): path for path in found}
    if _GRAPH not in names:
        text = f"the server's cache holds {handle} without its network"
        raise FailedPreconditionError(f"{text}: remove it there, and have it fetched again", reason="NOT_FETCHED")
    for name in sorted(names, key=lambda name: name != _GRAPH):
        yield name
        with names[name].open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece


def _has_length(answer: Any) -> bool:
    return str(answer.headers.get("Content-Length", "")).isdecimal()


def _refuse_status(status: int, handle: str) -> NoReturn:
    if status in (404, 410):
        text = f"the hub has no network {handle}: look up how it is spelled, and its version"
        raise InvalidError(text, reason="UNKNOWN_NETWORK")
    raise _not_fetched(handle, f"is answered by status {status}", "see whether its page asks you to sign in or agree")


def _not_fetched(handle: str, what: str, mend: str) -> FailedPreconditionError:
    text = f"{handle} {what}: {mend}, put it into the server's $TFHUB_CACHE_DIR, or download it and import the file"
    return FailedPreconditionError(text, reason="NOT_FETCHED")
