"""The README's tastes run as they stand, on the files that its example writes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^    frostline (.*?)(?:   .*)?$", README, re.MULTILINE)
(RECIPE,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
(LIBRARY,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_tastes_run_in_order(
    frostline: Callable[..., Result], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROSTLINE_SERVER", address)
    writing = subprocess.run(
        [sys.executable, ROOT / "examples/first_files.py"], capture_output=True, text=True, check=False
    )
    assert writing.returncode == 0, writing.stderr
    assert Path("recipe.yaml").read_text() == RECIPE

    assert len(COMMANDS) == 9
    for command in COMMANDS:
        run = frostline(*command.split())
        assert run.exit_code == 0, f"{command}: {run.output}"
    assert np.load("y.npy").shape == (len(np.load("x.npy")), 5)

    with np.load("digits-5-9.npz") as digits:
        known: dict[str, Any] = dict(digits)
    exec(LIBRARY.replace("127.0.0.1:8470", address), known)
    assert np.mean(known["probabilities"].argmax(axis=1) == known["y"]) > 0.8
