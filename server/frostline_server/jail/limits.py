"""What a process may use up, and whom it runs as: given up for good."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from dataclasses import dataclass

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_NOBODY = 65534
_MAX_FILES = 16

LONGEST_PIECE_BYTES = 1 << 20
"""How much the process says of its answer at once."""


@dataclass(frozen=True)
class Limits:
    """What reading one import may take.

    Attributes:
        memory_bytes: address space.
        cpu_seconds: processor time.
        wall_seconds: time on the clock; the parent kills what takes longer.
    """

    memory_bytes: int
    cpu_seconds: int
    wall_seconds: float


def limits_for(size_bytes: int) -> Limits:
    """Returns the limits for files of that size: a reader has them mapped, taken apart and put together again."""
    gibibytes = size_bytes / (1 << 30)
    cpu_seconds = 60 + int(60 * gibibytes)
    return Limits(int((1.5 + 6 * gibibytes) * (1 << 30)), cpu_seconds, 60.0 + 2 * cpu_seconds)


def become_nobody() -> None:
    """Where the process is root's, makes it nobody's."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)


def give_up_privileges() -> None:
    """On Linux, gives up ever getting privileges, being looked into, and outliving the parent."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        for option, value in ((_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_DUMPABLE, 0), (_PR_SET_PDEATHSIG, signal.SIGKILL)):
            if libc.prctl(option, int(value), 0, 0, 0):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def set_limits(memory_bytes: int, cpu_seconds: int) -> None:
    """Limits this process: memory, processor time, files open and written, processes, no core."""
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))  # a signal that tells why, then the end
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_NOFILE, _MAX_FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
