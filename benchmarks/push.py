"""Datasets pushed over loopback: all of MNIST as rows, and as PNG files.

Rows are held against a bare gRPC stream of the same bytes into a file with one fsync, files against plain Python that
reads and hashes each. Every file is a new one, the bare stream's too. A push also finds what is there already, checks
every image, makes shards durable and ends with a dataset version. Whatever is pushed is new to the server, except where
it is pushed again.
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
def bare_stream(folder: Path) -> Iterator[Callable[[bytes], object]]:
    """Gives what sends bytes over a bare stream, to a process that writes them to a new file in `folder`."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=serve_bare, args=(folder, theirs))
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
        took: dict[str, float] = {}
        with bare_stream(here / "bare") as send, serve(here / "rows", workers=False) as address, Client(address) as zoo:
            for repeat in range(report.repeats + 1):
                new = x ^ np.uint8(repeat + 2)  # other pixels in every repeat, so that none is there
                data = new.tobytes()
                took["bare stream"] = seconds(lambda data=data: send(data))
                took["push rows"] = seconds(lambda new=new: zoo.datasets.push("rows", new, y))
                took["push rows again"] = seconds(lambda new=new: zoo.datasets.push("rows-again", new, y))
                if repeat:  # at first code runs for the first time
                    show(report, took, len(x))
                    share = took["bare stream"] / took["push rows"]
                    report.ratio("rows / bare stream", share, wanted=WANTED_OF_A_STREAM)
        took = {}
        for repeat in range(report.repeats + 1):
            with serve(here / f"files-{repeat}", workers=False) as address, Client(address) as zoo:
                zoo.datasets.push_folder("others", here / "others")
                pushes = zoo.datasets
                took["read and hash files"] = seconds(lambda: read_and_hash(paths))
                took["push files"] = seconds(lambda pushes=pushes: pushes.push_folder("files", here / "digits"))
                took["push files again"] = seconds(lambda pushes=pushes: pushes.push_folder("again", here / "digits"))
            if repeat:
                show(report, took, files)
                times = took["push files"] / took["read and hash files"]
                report.ratio("files: push / read and hash", times, wanted=WANTED_OF_READING, at_least=False)
    report.end()


def show(report: Report, took: dict[str, float], count: int) -> None:
    """Adds a row for each time taken."""
    for what, time_taken in took.items():
        report.row(what=what, seconds=time_taken, examples_per_second=count / time_taken)


if __name__ == "__main__":
    main()
