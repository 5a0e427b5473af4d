"""The machine: how much memory and disk there is for a server that was not told how much it may take."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def memory_bytes(root: Path = Path("/")) -> int:
    """Returns how much memory this process may still take: what is available, or what a cgroup or rlimit leaves it.

    `root` is where /proc and /sys are.
    """
    return min([_available_bytes(root), *_cgroup_limits(root), *_resource_limits()])


def disk_bytes(folder: Path) -> int:
    """Returns how much disk `folder` may take: what is free, and what it has taken already."""
    return shutil.disk_usage(folder).free + sum(_sizes(folder))


def _available_bytes(root: Path) -> int:
    with suppress(OSError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # where there is no /proc: all there is


def _cgroup_limits(root: Path) -> Iterator[int]:
    """Yields the memory limits of this process's cgroups and of those around them, of either version."""
    groups: list[str] = []
    with suppress(OSError):
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    for line in groups:
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        place, limit = ("memory", "memory.limit_in_bytes") if controllers else (".", "memory.max")
        path = Path(group.strip("/"))
        for part in (path, *path.parents):  # seen from inside a container, only the outermost may be there
            with suppress(OSError, ValueError):  # "max" is no limit
                yield int((root / "sys/fs/cgroup" / place / part / limit).read_text())


def _resource_limits() -> Iterator[int]:
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            yield limit


def _sizes(folder: Path) -> Iterator[int]:
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # deleted meanwhile
                yield os.stat(os.path.join(path, name)).st_size
