"""Uploads and downloads over loopback, against a bare gRPC byte stream into a file with one fsync.

Ours hashes at both ends, verifies, and is durable under the blob's name; the bare stream does none of that. Both sides
of both are processes of their own kind: a client here, a server in another process. Every file is a new one, on either
side, since a disk may take far less time to write over an old file's blocks than to take new ones.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from multiprocessing.connection import Connection
from pathlib import Path

import grpc
from report import Report

from frostline_client.blobs import Blobs
from frostline_client.channel import Channel
from frostline_server.embedded import serve

PIECE = 1 << 20
WANTED = 0.6
UP, DOWN = "/bare.Stream/Up", "/bare.Stream/Down"


class BareStream(grpc.GenericRpcHandler):
    """Bytes in, into a new file with one fsync; bytes out, from the last such file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder
        self._files = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Returns the handler of a call."""
        if handler_call_details.method == UP:
            return grpc.stream_unary_rpc_method_handler(self._up)
        return grpc.unary_stream_rpc_method_handler(self._down)

    def _up(self, pieces: Iterator[bytes], _: grpc.ServicerContext) -> bytes:
        self._files += 1
        self._path = self._folder / str(self._files)
        with self._path.open("wb", buffering=0) as file:
            for piece in pieces:
                file.write(piece)
            os.fsync(file.fileno())
        return b""

    def _down(self, _: bytes, __: grpc.ServicerContext) -> Iterator[bytes]:
        with self._path.open("rb", buffering=0) as file:
            while piece := file.read(PIECE):
                yield piece


def serve_bare(folder: Path, answer: Connection) -> None:
    """Runs a bare server until it is terminated; it writes into `folder`."""
    folder.mkdir()
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[BareStream(folder)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    answer.send(port)
    server.wait_for_termination()


def seconds(action: Callable[[], object]) -> float:
    """Returns how long `action` takes, once the disk has nothing left to do of what was before."""
    os.sync()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def bare_upload(channel: grpc.Channel, path: Path) -> None:
    """Sends a file over the bare stream."""

    def pieces() -> Iterator[bytes]:
        with path.open("rb", buffering=0) as file:
            while piece := file.read(PIECE):
                yield piece

    channel.stream_unary(UP)(pieces())


def bare_download(channel: grpc.Channel, path: Path) -> None:
    """Receives a file over the bare stream."""
    with path.open("wb", buffering=0) as file:
        for piece in channel.unary_stream(DOWN)(b""):
            file.write(piece)
        os.fsync(file.fileno())


def main() -> None:
    """Measures."""
    report = Report("transfer", __doc__ or "")
    size = (64 if report.quick else 256) << 20
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        source = here / "source"
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        bare = multiprocessing.get_context("spawn").Process(target=serve_bare, args=(here / "bare", theirs))
        bare.start()
        try:
            with (
                serve(here / "data", workers=False) as address,
                grpc.insecure_channel(f"127.0.0.1:{ours.recv()}") as channel,
            ):
                blobs = Blobs(Channel(address))
                blobs.find_missing([])
                for repeat in range(report.repeats + 1):
                    targets = here / f"bare {repeat}", here / f"ours {repeat}"
                    content = os.urandom(size)
                    digest = "sha256:" + hashlib.sha256(content).hexdigest()
                    source.write_bytes(content)
                    del content
                    took = {
                        "bare upload": seconds(lambda: bare_upload(channel, source)),
                        "upload": seconds(lambda: blobs.upload(source)),
                        "bare download": seconds(lambda to=targets[0]: bare_download(channel, to)),
                        "download": seconds(lambda digest=digest, to=targets[1]: blobs.download(digest, to)),
                    }
                    if repeat == 0:  # connections open, files and code are read for the first time
                        continue
                    for what, time_taken in took.items():
                        report.row(what=what, seconds=time_taken, mebibytes_per_second=size / time_taken / (1 << 20))
                    for what in ("upload", "download"):
                        report.ratio(f"{what} / bare stream", took[f"bare {what}"] / took[what], wanted=WANTED)
        finally:
            bare.terminate()
            bare.join()
    report.end()


if __name__ == "__main__":
    main()
