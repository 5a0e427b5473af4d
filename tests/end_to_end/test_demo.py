"""The demo, as a newcomer runs it, with one seed instead of five."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parent.parent.parent / "examples" / "demo"


@pytest.mark.slow
def test_the_demo_ends_with_a_table_and_a_picture(tmp_path: Path) -> None:
    subprocess.check_call([sys.executable, str(DEMO), "--seeds", "1", "--out", str(tmp_path)])
    table = (tmp_path / "table.txt").read_text()
    rows = dict(re.findall(r"^ (\S.*?)  +([0-9].*)$", table, flags=re.MULTILINE))
    assert [*rows] == ["their parent", "from scratch", "frozen, not cached", "frozen, cached", "upper layers thawed"]
    accuracies = [float(row.split()[0]) for name, row in rows.items() if name != "their parent"]
    assert min(accuracies) > 60
    assert rows["frozen, cached"].split()[5] == "621"  # 25 examples and 596 held-out ones, each computed once
    assert "bit for bit" in table
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
