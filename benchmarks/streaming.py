"""Training on features four times the memory that there is: whether it stays inside, and how much slower an epoch is.

65,536 rows of 64 KiB, which is 4 GiB, under a head of two dense layers. The limit is 1 GiB and holds for the server's
trainer: all that it has in memory, TensorFlow included, and where cgroups can be made, what the system keeps of the
files that it reads and writes. Where they cannot, it is a resource limit on the trainer's data, and files stay in
memory. The same job then runs in a trainer without a limit, where all rows fit into memory; its features are there
already. Compared are the epochs after the first, which compiles.

The quick version has 3 epochs in place of 5.
"""

from __future__ import annotations

import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from report import Report
from subjects import warm

from frostline_client import Client, layers
from frostline_client.events import EpochEnded
from frostline_server.embedded import address_of, start

LIMIT_BYTES = 1 << 30
ROWS, WIDTH, HIDDEN, INPUTS = 1 << 16, 1 << 14, 512, 64
CGROUPS = Path("/sys/fs/cgroup")


class Memory:
    """The memory of a process: limited, and watched."""

    def __init__(self, process: int, limit_bytes: int) -> None:
        """Limits the process from now on; the name of what limits it is in `kind`."""
        self.peak_bytes = 0
        self._process = process
        self._group: Path | None = None
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        try:
            self._group = self._new_group(limit_bytes)
            (self._group / "cgroup.procs").write_text(str(process))
            self.kind = "cgroup"
        except OSError:
            self._remove_group()
            resource.prlimit(process, resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
            self.kind = "rlimit"
        self._watcher.start()

    def close(self) -> None:
        """Ends watching. The process must be gone."""
        self._done.set()
        self._watcher.join()
        self._remove_group()

    def _new_group(self, limit_bytes: int) -> Path:
        is_old = (CGROUPS / "memory").is_dir()
        group = CGROUPS / ("memory" if is_old else ".") / f"frostline-{self._process}"
        group.mkdir()
        self._group = group
        if is_old:
            (group / "memory.move_charge_at_immigrate").write_text("3")  # what the process has already counts
        (group / ("memory.limit_in_bytes" if is_old else "memory.max")).write_text(str(limit_bytes))
        return group

    def _remove_group(self) -> None:
        if self._group is not None and self._group.exists():
            self._group.rmdir()
        self._group = None

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            try:
                status = Path(f"/proc/{self._process}/status").read_text()
            except OSError:
                return
            kibibytes = [int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")]
            self.peak_bytes = max([self.peak_bytes, *(1024 * each for each in kibibytes)])


def trainer_of(server: int) -> int:
    """Returns the process id of a server's trainer."""
    for children in Path(f"/proc/{server}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            if b"\0trainer\0" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
    raise RuntimeError("the server has no trainer")


@contextmanager
def served(data: Path, feature_memory: int, limit_bytes: int | None) -> Iterator[tuple[Client, Memory | None]]:
    """Runs a server whose trainer is warm and then, where a limit is given, limited."""
    options = ["--feature-memory", str(feature_memory), "--feature-bytes", str(8 << 30)]
    server, memory = start(data, options=options), None
    try:
        with Client(address_of(server, data)) as zoo:
            warm(zoo)
            memory = Memory(trainer_of(server.pid), limit_bytes) if limit_bytes else None
            yield zoo, memory
    finally:
        server.terminate()
        server.wait()
        if memory is not None:
            memory.close()


def epoch_seconds(zoo: Client, epochs: int) -> tuple[list[float], float, str]:
    """Returns how long each epoch of a job took but the first, how long filling took, and where the rows are kept."""
    job = zoo.train(
        name="wide-child",
        base="wide",
        reuse="wide",
        head=[layers.Dense(64, activation="relu"), layers.Dense(2, activation="softmax")],
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
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        hidden = [layers.Dense(HIDDEN, activation="relu"), layers.Dense(WIDTH, activation="relu", name="wide")]
        with served(data, LIMIT_BYTES // 2, None) as (zoo, _):
            zoo.datasets.push("few", random.random((64, INPUTS), np.float32), np.arange(64) % 2)
            zoo.datasets.push("examples", random.random((ROWS, INPUTS), np.float32), np.arange(ROWS) % 2)
            zoo.train(name="wide", head=[*hidden, layers.Dense(2, activation="softmax")], data="few", epochs=1).result()
        with served(data, LIMIT_BYTES // 2, LIMIT_BYTES) as (zoo, memory):
            started = time.perf_counter()
            streamed, fill, kept = epoch_seconds(zoo, epochs)
            assert memory is not None and kept == "store"
            report.row(
                what=f"streamed, limit by {memory.kind}",
                job_seconds=time.perf_counter() - started,
                fill_seconds=fill,
                epoch_seconds=float(np.median(streamed)),
                peak_bytes=memory.peak_bytes,
            )
        with served(data, 3 * 4 * ROWS * WIDTH, None) as (zoo, _):
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
