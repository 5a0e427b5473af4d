"""Locks between processes: who reads a trunk's rows, and who fills them.

A lock is held on an open file, so it ends with the process that holds it, however that ends. The files are never
removed: two processes that opened the same path hold the same lock.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE_SECONDS = 0.05


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Holds the lock together with others that share it."""
    handle = _open(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Holds the lock where nobody does; gives False at once where somebody does."""
    handle = _open(path)
    try:
        yield _take(handle)
    finally:
        os.close(handle)


@contextmanager
def awaited(path: Path, while_waiting: Callable[[], None]) -> Iterator[None]:
    """Holds the lock once nobody else does; calls `while_waiting`, which may raise, every 50 ms until then."""
    handle = _open(path)
    try:
        while not _take(handle):
            while_waiting()
            time.sleep(_PAUSE_SECONDS)
        yield
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _take(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
