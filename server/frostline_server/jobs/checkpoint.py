"""Checkpoints: where a running job can go on from after its worker has died.

    DATA/jobs/{job}/checkpoint             the newest
    DATA/jobs/{job}/checkpoint.previous    the one before

A file is a canonical safetensors encoding, followed by the 32 bytes of its SHA-256.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from frostline_zoo.errors import CorruptError
from frostline_zoo.files import make_folder, sync_folder, write_atomically
from frostline_zoo.tensors import Array, decode_tensors, encode_tensors


class Checkpoint:
    """The checkpoint of one job, in the job's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._newest = folder / "checkpoint"
        self._previous = folder / "checkpoint.previous"

    def load(self) -> dict[str, Array] | None:
        """Returns the newest arrays that are whole, read-only, or None where there are none."""
        return next((tensors for path in (self._newest, self._previous) if (tensors := _read(path)) is not None), None)

    def save(self, tensors: Mapping[str, Array]) -> None:
        """Keeps `tensors`, durably. What was the newest stays as the previous one, in case these bytes decay."""
        make_folder(self._folder)
        content = encode_tensors(tensors)
        if self._newest.exists():
            os.replace(self._newest, self._previous)
        write_atomically(self._newest, [content, hashlib.sha256(content).digest()])

    def discard(self) -> None:
        """Removes what was saved."""
        if self._folder.is_dir():
            self._newest.unlink(missing_ok=True)
            self._previous.unlink(missing_ok=True)
            sync_folder(self._folder)


def _read(path: Path) -> dict[str, Array] | None:
    try:
        stored = memoryview(path.read_bytes())
        content, checksum = stored[:-32], stored[-32:]
        return decode_tensors(content) if hashlib.sha256(content).digest() == checksum else None
    except (OSError, CorruptError):
        return None
