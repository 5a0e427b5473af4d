"""The client's wheels, installed alone in a fresh environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_BYTES = 120_000_000


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with nothing but the client and what it needs."""
    uv = shutil.which("uv") or shutil.which(str(ROOT / ".uv/bin/uv"))
    if uv is None:
        pytest.skip("uv is not here")
    folder = tmp_path_factory.mktemp("fresh")
    for part in ("protos", "client"):
        build = [uv, "build", "--quiet", "--wheel", "--out-dir", folder / "wheels", ROOT / part]
        run = subprocess.run(build, capture_output=True, text=True, check=False)
        _skip_without_network(run)
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
    wheels = sorted((folder / "wheels").glob("*.whl"))
    assert len(wheels) == 2
    install = [uv, "pip", "install", "--quiet", "--link-mode", "copy", "--python", folder / "venv/bin/python", *wheels]
    run = subprocess.run(install, capture_output=True, text=True, check=False)
    _skip_without_network(run)
    return folder / "venv"


def _skip_without_network(run: subprocess.CompletedProcess[str]) -> None:
    if run.returncode and any(sign in run.stderr for sign in ("Failed to fetch", "error sending request", "dns error")):
        pytest.skip("packages cannot be fetched here")
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
def test_the_client_is_small_and_needs_no_tensorflow(environment: Path) -> None:
    files = {path for path in environment.rglob("*") if path.is_file() and not path.is_symlink()}
    assert sum(path.stat().st_size for path in files) < MAX_BYTES
    code = "import importlib.util as u; print([n for n in ('tensorflow', 'keras', 'frostline_zoo') if u.find_spec(n)])"
    assert subprocess.check_output([environment / "bin/python", "-c", code], text=True) == "[]\n"


@pytest.mark.slow
def test_the_installed_command_line_talks_to_a_server(environment: Path, store_address: str) -> None:
    command = environment / "bin/frostline"
    assert "Examples:" in subprocess.check_output([command, "--help"], text=True)
    variables = {**os.environ, "FROSTLINE_SERVER": store_address}
    found = subprocess.check_output([command, "models", "list", "--json"], text=True, env=variables)
    assert json.loads(found) == []
