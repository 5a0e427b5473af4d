"""Rows hashed in a process of their own: the same digests, whoever hashes them and whatever becomes of the process."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from frostline_zoo.examples.row_hasher import RowHasher
from frostline_zoo.examples.spec import ExampleSpec, rows_digests

SPEC = ExampleSpec("uint8", (28, 28))


def rows(spec: ExampleSpec, size_bytes: int, seed: int = 3) -> bytes:
    count = size_bytes // spec.content_bytes
    return np.random.default_rng(seed).integers(0, 256, count * spec.content_bytes, np.uint8).tobytes()


def children() -> set[int]:
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(number) for task in tasks for number in task.read_text().split()}


@pytest.mark.parametrize(
    ("spec", "size_bytes"),
    [
        (SPEC, 1 << 20),
        (SPEC, 1000),  # too few to be worth sending
        (SPEC, 5 << 20),  # more than fit
        (ExampleSpec("uint8", (3,)), 1 << 20),  # more digests than fit
        (ExampleSpec("float64", (2, 2)), 1 << 20),
        (ExampleSpec("float32", (64, 64)), 1 << 20),  # so large that Python hashes them without its lock
    ],
)
def test_digests_are_those_of_the_rows(spec: ExampleSpec, size_bytes: int) -> None:
    content = rows(spec, size_bytes)
    assert (RowHasher().digests(spec, content) == rows_digests(spec, content)).all()


def test_threads_share_a_hasher() -> None:
    hasher, contents = RowHasher(), [rows(SPEC, 1 << 20, seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda content: hasher.digests(SPEC, content), contents))
    assert all((one == rows_digests(SPEC, content)).all() for one, content in zip(found, contents, strict=True))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux, to find the process")
def test_a_process_that_was_killed_is_started_again() -> None:
    hasher, content, before = RowHasher(), rows(SPEC, 1 << 20), children()
    hasher.digests(SPEC, content)
    (first,) = children() - before
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    expected = rows_digests(SPEC, content)
    assert (hasher.digests(SPEC, content) == expected).all()
    assert (hasher.digests(SPEC, content) == expected).all()
    (second,) = children() - before
    assert second != first
