"""requirements.lock: what every installation of this project consists of."""

from __future__ import annotations

import re
from pathlib import Path

LOCK = Path(__file__).parent.parent / "requirements.lock"


def entries() -> list[str]:
    return re.split(r"\n(?=\S)", LOCK.read_text().strip())


def test_every_package_is_pinned_and_hashed() -> None:
    unpinned = [entry for entry in entries() if not re.match(r"[a-z0-9-]+==\S+ (; .+ )?\\\n\s+--hash=sha256:", entry)]
    assert unpinned == []


def test_the_lock_names_no_host_and_no_path() -> None:
    assert re.findall(r".*(?:://|--index|--find-links|(?:^|\s)[./]).*", LOCK.read_text()) == []
