"""A time at which connections end, whatever their other side does."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from typing import Any, Self


class Deadline:
    """Shuts connections at its time: a socket's own timeout begins anew with every byte that trickles in."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._connections: list[ssl.SSLSocket] = []

    @property
    def left_seconds(self) -> float:
        """How long it is until then; 0 afterwards."""
        return max(0.0, self._ends - time.monotonic())

    def context(self) -> ssl.SSLContext:
        """Returns a context that checks certificates as usual, whose connections end at that time."""
        watch = self._watch

        class Watched(ssl.SSLSocket):
            def do_handshake(self, block: bool = False) -> None:
                watch(self)  # before the other side may say anything
                super().do_handshake(block)

        context = ssl.create_default_context()
        context.sslsocket_class = Watched
        return context

    def _watch(self, connection: ssl.SSLSocket) -> None:
        self._connections.append(connection)
        if not self.left_seconds:
            self._end()

    def _end(self) -> None:
        for connection in self._connections:
            with contextlib.suppress(OSError):  # it has ended by itself
                # Not SSLSocket's own, which takes the keys away from under the thread that is reading.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._timer.cancel()
