"""Datasets pushed over loopback: all of MNIST as rows, and as PNG files.

Rows are held against a bare gRPC stream of the same bytes into a file with one fsync, files against plain Python that
reads and hashes each. A push also finds what is there already, checks every image, makes shards durable and ends with
a dataset version. Every repeat has a fresh server, so that nothing is there.
"""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from PIL import Image
from report import Report
from transfer import PIECE, UP, seconds, serve_bare

from frostline_client import Client
from frostline_server.embedded import serve

ASSETS = Path(os.environ.get("FROSTLINE_ASSETS") or Path(__file__).parents[2] / "shared" / "assets")
WANTED_OF_A_STREAM, WANTED_OF_READING = 0.4, 3.0

Array = npt.NDArray[Any]


def digits() -> tuple[Array, Array]:
    """Returns MNIST, or rows of its shape with about as much ink."""
    if (ASSETS / "data" / "mnist.npz").exists():
        with np.load(ASSETS / "data" / "mnist.npz") as mnist:
            x, y = (np.concatenate([mnist[f"{key}_train"], mnist[f"{key}_test"]]) for key in "xy")
        return x, y
    random = np.random.default_rng(1)
    x = random.integers(0, 256, (70_000, 28, 28), np.uint8)
    x[random.random(x.shape) < 0.8] = 0
    return x, np.arange(len(x)) % 10


def write_pngs(folder: Path, x: Array, y: Array) -> list[str]:
    """Writes a PNG file a row, one folder a class, and returns the paths."""
    for label in np.unique(y):
        (folder / str(label)).mkdir(parents=True)
    paths = []
    for number, (pixels, label) in enumerate(zip(x, y, strict=True)):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        paths.append(str(folder / str(label) / f"{number:05}.png"))
        Path(paths[-1]).write_bytes(file.getvalue())
    return paths


def read_and_hash(paths: list[str]) -> None:
    """Does what a push can least do without."""
    for path in paths:
        with open(path, "rb") as file:
            hashlib.sha256(file.read()).digest()


@contextmanager
def bare_stream(path: Path) -> Iterator[Callable[[bytes], object]]:
    """Gives what sends bytes over a bare stream, to a process that writes them to `path`."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=serve_bare, args=(path, theirs))
    process.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{ours.recv()}") as channel:
            call = channel.stream_unary(UP)
            call(iter([b"connected"]))
            yield lambda data: call(data[start : start + PIECE] for start in range(0, len(data), PIECE))
    finally:
        process.terminate()
        process.join()


def main() -> None:
    """Measures."""
    report = Report("push", __doc__ or "")
    x, y = digits()
    files = 10_000 if report.quick else 70_000
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        paths = write_pngs(here / "digits", x[:files], y[:files])
        write_pngs(here / "others", x[:50] ^ 1, y[:50])
        data = x.tobytes()
        with bare_stream(here / "bare") as send:
            for repeat in range(report.repeats + 1):
                with serve(here / f"data-{repeat}", workers=False) as address, Client(address) as zoo:
                    zoo.datasets.push("others", x[:50] ^ 1, y[:50])
                    zoo.datasets.push_folder("others", here / "others")
                    pushes = zoo.datasets
                    took = {
                        "bare stream": seconds(lambda: send(data)),
                        "push rows": seconds(lambda pushes=pushes: pushes.push("rows", x, y)),
                        "read and hash files": seconds(lambda: read_and_hash(paths)),
                        "push files": seconds(lambda pushes=pushes: pushes.push_folder("files", here / "digits")),
                        "push rows again": seconds(lambda pushes=pushes: pushes.push("rows-2", x, y)),
                        "push files again": seconds(lambda pushes=pushes: pushes.push_folder("f-2", here / "digits")),
                    }
                if repeat == 0:  # code and files are read for the first time
                    continue
                for what, time_taken in took.items():
                    count = files if "files" in what else len(x)
                    report.row(what=what, seconds=time_taken, examples_per_second=count / time_taken)
                share = took["bare stream"] / took["push rows"]
                report.ratio("rows / bare stream", share, wanted=WANTED_OF_A_STREAM)
                times = took["push files"] / took["read and hash files"]
                report.ratio("files: push / read and hash", times, wanted=WANTED_OF_READING, at_least=False)
    report.end()


if __name__ == "__main__":
    main()
