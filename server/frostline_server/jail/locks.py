"""The locks of the jail, and whether this machine has them all."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from frostline_server.jail import landlock, limits, seccomp


def lock(memory_bytes: int, cpu_seconds: int) -> None:
    """Closes every lock of the jail on this process, for good.

    It has all that it will ever have: what is open stays open, what is imported stays imported.

    Raises:
        OSError: the kernel has a lock and refuses it.
    """
    limits.become_nobody()
    limits.give_up_privileges()
    limits.set_limits(memory_bytes, cpu_seconds)
    landlock.close_files_and_network()
    seccomp.filter_calls()


@dataclass(frozen=True)
class Sandbox:
    """What this machine has of the locks.

    Attributes:
        landlock_version: 0 where the kernel has no Landlock.
        has_filter: whether system calls can be filtered.
    """

    landlock_version: int
    has_filter: bool

    @property
    def complete(self) -> bool:
        """Whether two locks, each of which would do, keep a reader from files and from the network."""
        return self.landlock_version > 0 and self.has_filter

    @property
    def missing(self) -> str:
        """Says what is not there; empty where nothing is missing."""
        if sys.platform != "linux":
            return "only Linux has its locks"
        lacks = [
            *([] if self.landlock_version else ["Landlock"]),
            *([] if self.has_filter else ["filter of system calls for this processor"]),
        ]
        return f"the kernel has no {' and no '.join(lacks)}" if lacks else ""


def sandbox_here() -> Sandbox:
    """Returns what this machine has."""
    return Sandbox(landlock.version(), seccomp.available())
