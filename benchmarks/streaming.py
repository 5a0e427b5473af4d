"""Training on features four times the memory that there is: whether it stays inside, and how much slower an epoch is.

65,536 rows of 64 KiB, which is 4 GiB, from three convolutions, under a head of two dense layers. The limit is 1 GiB and
holds for the server's trainer, from its start: a cgroup, so all that it has in memory counts, TensorFlow included, and
what the system keeps of the files that it reads and writes. Where no cgroup can be made, its memory is only watched.
The same job then runs in a trainer without a limit, where all rows fit into memory; its features are there already.
Compared are the epochs after the first, which compiles.

The quick version has 3 epochs in place of 5.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from report import Report
from subjects import children_of, status_bytes, warm

from frostline_client import Client, layers
from frostline_client.events import EpochEnded
from frostline_server.embedded import address_of, start

LIMIT_BYTES = 1 << 30
ROWS, ROW_BYTES, SIDE = 1 << 16, 1 << 16, 32
CGROUPS = Path("/sys/fs/cgroup")


class Limited:
    """The trainer of a server, ended and started again by the server, in a cgroup with a limit where there may be one.

    Attributes:
        kind: what limits it: "cgroup", or "nothing".
        peak_bytes: the most that it had in memory of its own, files not counted.
    """

    def __init__(self, server: int, limit_bytes: int) -> None:
        self.peak_bytes = 0
        self.kind = "nothing"
        self._group: Path | None = None
        self._process, first = 0, trainer_of(server)
        is_old = (CGROUPS / "memory").is_dir()
        home = next(
            line.split(":", 2)[2]
            for line in Path(f"/proc/{server}/cgroup").read_text().splitlines()
            if line.split(":", 2)[1] == ("memory" if is_old else "")
        )
        root = CGROUPS / "memory" if is_old else CGROUPS
        try:
            self._group = root / f"frostline-{server}"
            self._group.mkdir()
            (self._group / ("memory.limit_in_bytes" if is_old else "memory.max")).write_text(str(limit_bytes))
            (self._group / "cgroup.procs").write_text(str(server))  # what it starts from now on is in the group
            self.kind = "cgroup"
        except OSError:
            self._remove_group()
        os.kill(first, signal.SIGKILL)
        while not self._process or self._process == first:
            time.sleep(0.02)
            self._process = trainer_of(server)
        if self._group is not None:
            (root / home.strip("/") / "cgroup.procs").write_text(str(server))
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Ends watching. The trainer must be gone."""
        self._done.set()
        self._watcher.join()
        self._remove_group()

    def _remove_group(self) -> None:
        if self._group is not None and self._group.exists():
            self._group.rmdir()
        self._group = None

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            try:
                with suppress(LookupError):
                    self.peak_bytes = max(self.peak_bytes, status_bytes(self._process, "RssAnon"))
            except OSError:
                return


def trainer_of(server: int) -> int:
    """Returns the process id of a server's trainer; 0 while it has none."""
    for child in children_of(server):
        with suppress(OSError):
            if b"\0trainer\0" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
    return 0


@contextmanager
def served(data: Path, feature_memory: int, limit_bytes: int | None) -> Iterator[tuple[Client, Limited | None]]:
    """Runs a server whose trainer is warm and, where a limit is given, limited."""
    options = ["--feature-memory", str(feature_memory), "--feature-bytes", str(8 << 30)]
    server, limited = start(data, options=options), None
    try:
        with Client(address_of(server, data)) as zoo:
            warm(zoo)
            if limit_bytes:
                limited = Limited(server.pid, limit_bytes)
                warm(zoo)
            yield zoo, limited
    finally:
        server.terminate()
        server.wait()
        if limited is not None:
            limited.close()


def epoch_seconds(zoo: Client, epochs: int) -> tuple[list[float], float, str]:
    """Returns how long each epoch of a job took but the first, how long filling took, and where the rows are kept."""
    job = zoo.train(
        name="wide-child",
        base="wide",
        reuse="top",
        head=[layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(2, activation="softmax")],
        data="examples",
        batch_size=64,
        epochs=epochs,
    )
    seconds = [event.seconds for event in job.watch() if isinstance(event, EpochEnded)]
    job.result()
    record = job.record()
    assert record.attempt == 1, "the trainer died and another one went on"
    (stage,) = record.stages
    assert stage.plan is not None
    return seconds[1:], stage.fill_seconds, stage.plan.kept


def main() -> None:
    report = Report("streaming", __doc__)
    epochs = 3 if report.quick else 5
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        pixels = np.random.default_rng(0).integers(0, 256, (ROWS, SIDE, SIDE, 1), np.uint8)
        channels = ROW_BYTES // SIDE**2 // 4
        convolutions = [
            layers.Conv2D(channels, 3, padding="same", activation="relu", name=name)
            for name in ("low", "middle", "top")
        ]
        with served(data, LIMIT_BYTES // 2, None) as (zoo, _):
            zoo.datasets.push("few", pixels[:64], np.arange(64) % 2)
            zoo.datasets.push("examples", pixels, np.arange(ROWS) % 2)
            head = [*convolutions, layers.Flatten(), layers.Dense(2, activation="softmax")]
            zoo.train(name="wide", head=head, preprocessing={"scale": 1 / 255}, data="few", epochs=1).result()
        with served(data, LIMIT_BYTES // 2, LIMIT_BYTES) as (zoo, memory):
            started = time.perf_counter()
            streamed, fill, kept = epoch_seconds(zoo, epochs)
            assert memory is not None
            assert kept == "store", kept
            report.row(
                what=f"streamed, limit by {memory.kind}",
                job_seconds=time.perf_counter() - started,
                fill_seconds=fill,
                epoch_seconds=float(np.median(streamed)),
                peak_bytes=memory.peak_bytes,
            )
        with served(data, 3 * ROWS * ROW_BYTES, None) as (zoo, _):
            started = time.perf_counter()
            held, fill, _ = epoch_seconds(zoo, epochs)
            report.row(
                what="in memory",
                job_seconds=time.perf_counter() - started,
                fill_seconds=fill,
                epoch_seconds=float(np.median(held)),
            )
    report.ratio("peak memory of the process / limit", memory.peak_bytes / LIMIT_BYTES, wanted=1.0, at_least=False)
    for slow, fast in zip(streamed, held, strict=True):
        report.ratio("seconds an epoch, streamed / in memory", slow / fast, wanted=1.5, at_least=False)
    report.end()


if __name__ == "__main__":
    main()
