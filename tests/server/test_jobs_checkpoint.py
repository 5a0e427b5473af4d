"""Checkpoints: whatever happens to the files, what is loaded is whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from frostline_server.jobs.checkpoint import Checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    """One that was saved twice."""
    checkpoint = Checkpoint(tmp_path / "job")
    for epoch in (1, 2):
        checkpoint.save({"epoch": np.array(epoch), "weights": np.full((3, 4), epoch, np.float32)})
    return checkpoint


def epoch_of(checkpoint: Checkpoint) -> int | None:
    arrays = checkpoint.load()
    return None if arrays is None else int(arrays["epoch"])


def test_the_newest_is_loaded(checkpoint: Checkpoint) -> None:
    assert epoch_of(checkpoint) == 2


def test_there_is_none_before_the_first(tmp_path: Path) -> None:
    assert Checkpoint(tmp_path / "job").load() is None


@pytest.mark.parametrize("damage", ["byte", "cut", "empty", "gone"])
def test_a_damaged_newest_falls_back_to_the_one_before(checkpoint: Checkpoint, tmp_path: Path, damage: str) -> None:
    spoil(tmp_path / "job" / "checkpoint", damage)
    assert epoch_of(checkpoint) == 1


def test_two_damaged_ones_are_as_none(checkpoint: Checkpoint, tmp_path: Path) -> None:
    for name in ("checkpoint", "checkpoint.previous"):
        spoil(tmp_path / "job" / name, "byte")
    assert checkpoint.load() is None


def test_a_discarded_one_is_gone(checkpoint: Checkpoint, tmp_path: Path) -> None:
    checkpoint.discard()
    assert checkpoint.load() is None
    assert list((tmp_path / "job").iterdir()) == []


def spoil(path: Path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    content[-33] ^= 1  # the last value, before the 32 bytes of the checksum
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"byte": bytes(content), "cut": bytes(content[:-1]), "empty": b""}[damage])
