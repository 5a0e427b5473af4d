"""The examples run as they stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("example", "shows"),
    [("reuse_layers.py", "shared   h2\n"), ("watch_jobs.py", "is SUCCEEDED")],
)
def test_an_example_runs_against_a_server(address: str, example: str, shows: str) -> None:
    run = subprocess.run([sys.executable, EXAMPLES / example, address], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert shows in run.stdout
