"""The locks: what every installation of this project consists of, and the fuzzer beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = [ROOT / "requirements.lock", ROOT / "tests" / "fuzz" / "requirements.lock"]


def entries(lock: Path) -> list[str]:
    return re.split(r"\n(?=\S)", lock.read_text().strip())


@pytest.mark.parametrize("lock", LOCKS, ids=["all", "fuzz"])
def test_every_package_is_pinned_and_hashed(lock: Path) -> None:
    found = entries(lock)
    unpinned = [entry for entry in found if not re.match(r"[a-z0-9-]+==\S+ (; .+ )?\\\n\s+--hash=sha256:", entry)]
    assert unpinned == []


@pytest.mark.parametrize("lock", LOCKS, ids=["all", "fuzz"])
def test_the_lock_names_no_host_and_no_path(lock: Path) -> None:
    assert re.findall(r".*(?:://|--index|--find-links|(?:^|\s)[./]).*", lock.read_text()) == []
