"""What a machine has to give, read from files like those of /proc and /sys."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from frostline_server.machine import disk_bytes, memory_bytes

GIBIBYTE = 1 << 30


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """One with 8 GiB available and no cgroups."""
    write(tmp_path / "proc/meminfo", f"MemTotal: 99999999 kB\nMemAvailable:   {8 << 20} kB\n")
    return tmp_path


def test_without_limits_what_is_available_counts(machine: Path) -> None:
    assert memory_bytes(machine) == 8 * GIBIBYTE


@pytest.mark.parametrize(
    ("group", "limit"),
    [
        ("0::/jobs/one\n", "jobs/memory.max"),
        ("0::/\n", "memory.max"),
        ("4:memory:/docker/abc\n3:cpu:/\n", "memory/memory.limit_in_bytes"),
        ("4:memory:/jobs\n", "memory/jobs/memory.limit_in_bytes"),
    ],
)
def test_the_tightest_cgroup_around_the_process_counts(machine: Path, group: str, limit: str) -> None:
    write(machine / "proc/self/cgroup", group)
    write(machine / "sys/fs/cgroup/jobs/one/memory.max", "max\n")
    write(machine / "sys/fs/cgroup" / limit, f"{2 * GIBIBYTE}\n")
    assert memory_bytes(machine) == 2 * GIBIBYTE


def test_a_resource_limit_counts(machine: Path) -> None:
    code = "import pathlib, sys, frostline_server.machine as m; print(m.memory_bytes(pathlib.Path(sys.argv[1])))"
    limited = ["sh", "-c", f'ulimit -v {4 << 20}; exec "$@"', "sh", sys.executable, "-c", code, str(machine)]
    assert int(subprocess.check_output(limited)) == 4 * GIBIBYTE


def test_what_a_folder_has_taken_already_counts_as_free(tmp_path: Path) -> None:
    write(tmp_path / "features/a/rows", "x" * 4096)
    free = shutil.disk_usage(tmp_path).free
    assert disk_bytes(tmp_path / "features") == pytest.approx(free + 4096, abs=1e9)
