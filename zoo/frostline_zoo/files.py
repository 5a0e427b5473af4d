"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from typing_extensions import Buffer


class SyncError(OSError):
    """The disk did not take what was written. Another try proves nothing: the kernel may have dropped it by then."""


def write_atomically(path: Path, pieces: Iterable[Buffer]) -> None:
    """Writes `pieces` to `path`: to a file beside it, synced, renamed, and the folder synced.

    A rename alone is not durable: without the folder's sync a power cut can lose the name.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with staged.open("wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            sync(file.fileno())
        publish(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


def publish(staged: Path, path: Path) -> None:
    """Gives a synced file its final name, durably. Both must be on one file system."""
    os.replace(staged, path)
    sync_folder(path.parent)


def sync(descriptor: int) -> None:
    """Makes durable what was written to an open file or folder.

    Raises:
        SyncError: the disk did not take it.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise SyncError(*error.args) from error


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Makes `folder` and what it stands in, each name durable."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)
