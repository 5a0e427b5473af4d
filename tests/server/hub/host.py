"""A hub for tests: an HTTPS server on a free port that says what it is told to say, as localhost."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TRICKLE_SECONDS = 0.02
CERTIFICATE = Path(__file__).parent / "localhost.pem"


@dataclass
class HubHost:
    """A running hub.

    Attributes:
        port: where it listens.
        answers: what it says, by path: status, headers, body.
        asked: the paths with their queries that it was asked for.
        trickles: what it starts to say, by path, to go on byte by byte without end.
    """

    port: int = 0
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    trickles: dict[str, bytes] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """Its name, as a server is told to fetch from it."""
        return f"localhost:{self.port}"

    def put(self, path: str, body: bytes, status: int = 200, **headers: str) -> str:
        """Has it answer a path, and returns the handle."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[path] = (status, {"Content-Length": str(len(body)), **named}, body)
        return f"https://{self.host}{path}"


def trickle(connection: socket.socket, start: bytes) -> None:
    """Says something, and then a byte at a time until nobody listens."""
    with contextlib.suppress(OSError):
        connection.sendall(start)
        while True:
            connection.sendall(b"x")
            time.sleep(TRICKLE_SECONDS)


@contextmanager
def slow_to_greet() -> Iterator[str]:
    """Runs a host, HOST:PORT, whose part of a TLS handshake comes byte by byte without end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            with connection:
                trickle(connection, b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb")  # 16 KiB of a greeting

        threading.Thread(target=greet, daemon=True).start()
        yield f"localhost:{listening.getsockname()[1]}"


@contextmanager
def hub_host() -> Iterator[HubHost]:
    """Runs a hub."""
    hub = HubHost()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.asked.append(self.path)
            start = hub.trickles.get(self.path.partition("?")[0])
            if start is not None:
                return trickle(self.connection, start)
            status, headers, body = hub.answers.get(self.path.partition("?")[0], (404, {}, b""))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
