"""The channel between the server and a child process: frames over a socket pair.

A frame is 4 bytes with the length of a JSON object, 4 bytes with the length of a payload, both big-endian, then the
two. It is JSON and not pickle because a child reads files that came from outside: taken over by one, it can still only
send data.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from dataclasses import dataclass
from typing import Any

LARGEST_HEADER_BYTES = 16 << 20
_LENGTHS = struct.Struct(">II")


@dataclass(frozen=True)
class Frame:
    """One message: a JSON object, and bytes that go with it."""

    header: dict[str, Any]
    payload: bytes = b""

    def encode(self) -> bytes:
        """Returns the frame's bytes."""
        header = json.dumps(self.header).encode()
        return b"".join((_LENGTHS.pack(len(header), len(self.payload)), header, self.payload))


class ChildChannel:
    """The child's end. One thread may receive; any may send."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._reader = end.makefile("rb")
        self._sending = threading.Lock()

    def send(self, frame: Frame) -> None:
        """Sends a frame. Where the server is gone, so is what it was for."""
        with self._sending:
            self._socket.sendall(frame.encode())

    def receive(self) -> Frame | None:
        """Waits for a frame; returns None when the server is gone."""
        lengths = self._reader.read(_LENGTHS.size)
        if len(lengths) < _LENGTHS.size:
            return None
        header_size, payload_size = _LENGTHS.unpack(lengths)
        content = self._reader.read(header_size + payload_size)
        if len(content) < header_size + payload_size:
            return None
        return Frame(json.loads(content[:header_size]), content[header_size:])


class ServerChannel:
    """The server's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, frame: Frame) -> None:
        """Sends a frame. Raises ConnectionError where the child is gone."""
        self._writer.write(frame.encode())
        await self._writer.drain()

    async def receive(self) -> Frame | None:
        """Waits for a frame; returns None when the child is gone. Raises ValueError for what is not a frame."""
        try:
            header_size, payload_size = _LENGTHS.unpack(await self._reader.readexactly(_LENGTHS.size))
            if header_size > LARGEST_HEADER_BYTES:  # refused now, instead of waited for
                raise ValueError(f"a frame's header of {header_size} bytes")
            header = json.loads(await self._reader.readexactly(header_size))
            return Frame(header, await self._reader.readexactly(payload_size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def close(self) -> None:
        """Closes this end; the child sees it as the server's end."""
        self._writer.close()
