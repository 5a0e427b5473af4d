"""Landlock: the kernel refuses a process every file, and TCP, from a moment on. It needs no privileges.

Source: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import sys

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # on every architecture
_ASK_FOR_VERSION = 1

# Each version knows more rights: of files (1, 2 and 3), of TCP (4), of devices (5), of other processes' sockets and
# signals (6). A right that a ruleset handles and grants nowhere is refused everywhere.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP_RIGHTS = {4: 0b11}
_SCOPES = {6: 0b11}


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


def version() -> int:
    """Returns which version of Landlock the kernel has; 0: none."""
    if sys.platform != "linux":
        return 0
    answer = int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_FOR_VERSION)))
    return max(0, answer)


def close_files_and_network() -> None:
    """Takes from this process, for good, all that Landlock can take: it keeps what it has open, and opens nothing more.

    It must have given up new privileges before. Without Landlock nothing happens.

    Raises:
        OSError: the kernel has Landlock and refuses it.
    """
    known = version()
    if not known:
        return
    rules = _Ruleset(*(_newest(rights, known) for rights in (_FILE_RIGHTS, _TCP_RIGHTS, _SCOPES)))
    size = 8 if known < 4 else 16 if known < 6 else 24
    libc = _libc()
    ruleset = _checked(libc.syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0)))
    try:
        _checked(libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)))
    finally:
        os.close(ruleset)


def _newest(rights: dict[int, int], known: int) -> int:
    return next((rights[since] for since in sorted(rights, reverse=True) if since <= known), 0)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
