"""Workers that have gathered too much are followed by fresh ones, and nothing of what was asked for is lost."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from frostline_client import Client, layers
from frostline_client.jobs import Job
from frostline_server.embedded import serve
from frostline_server.jobs.growth import LEAST_WORK, Growth


def test_what_a_process_gathers_is_too_much_once_it_has_done_some_work() -> None:
    growth, roomy = Growth(1 << 20), Growth(1 << 40)
    gathered = np.ones(4 << 20, np.uint8)
    assert [growth.is_too_much() for _ in range(LEAST_WORK)] == [False] * (LEAST_WORK - 1) + [True]
    assert not any(roomy.is_too_much() for _ in range(LEAST_WORK))
    assert len(gathered) == 4 << 20


IS_FREE = """
import numpy as np
from frostline_server.jobs.freed_memory import keep_freed_memory
from frostline_server.jobs.growth import LEAST_WORK, Growth
keep_freed_memory(256 << 20)
growth = Growth(16 << 20)
blocks = [np.ones(1 << 20, np.uint8) for _ in range(100)]
assert growth._has_grown()
del blocks
assert growth._has_grown()
assert not any(growth.is_too_much() for _ in range(LEAST_WORK))
"""


@pytest.mark.skipif("glibc" not in platform.libc_ver(), reason="other C libraries keep what they like")
def test_what_was_freed_and_is_kept_for_the_next_is_not_gathered() -> None:
    subprocess.run([sys.executable, "-c", IS_FREE], check=True)


def workers(kind: str, data: Path) -> set[int]:
    """Returns the processes that are workers of a server."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                arguments = (entry / "cmdline").read_text().split("\0")
            except OSError:  # it has ended
                continue
            if kind in arguments and str(data) in arguments:
                found.add(int(entry.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not say what a process has")
def test_jobs_and_predictions_go_on_in_fresh_workers(tmp_path: Path) -> None:
    data, chance = tmp_path / "zoo", np.random.default_rng(0)
    x, y = chance.normal(size=(40, 8)).astype(np.float32), np.arange(40) % 3
    with serve(data, options=["--worker-growth", "0"]) as address, Client(address) as zoo:
        zoo.datasets.push("rows", x, y)

        def train(number: int) -> Job:
            return zoo.train(
                name=f"model-{number}", data="rows", head=[layers.Dense(3, activation="softmax")], epochs=1
            )

        train(0).result()
        first = {kind: workers(kind, data) for kind in ("trainer", "workbench")}
        assert [len(processes) for processes in first.values()] == [1, 1]
        for job in [train(number) for number in range(1, LEAST_WORK + 1)]:
            job.result()
        with ThreadPoolExecutor(4) as threads:
            predicted = list(threads.map(lambda _: zoo.predict("model-0", x), range(LEAST_WORK)))
        assert all((rows == predicted[0]).all() for rows in predicted)
        assert not any(workers(kind, data) & processes for kind, processes in first.items())
    assert "a worker died" not in (data / "server.log").read_text()
