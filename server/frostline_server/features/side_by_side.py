"""Rows of many files as one array: those of each file are mapped behind those of the one before.

NumPy takes rows from anywhere in one array in one call, which lets go of Python's lock. From an array for each file
they come file by file, and getting them into order is a second pass over memory that is far from the processor.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import resource
import threading
from contextlib import suppress

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

PAGE_BYTES = mmap.PAGESIZE
"""Rows can be mapped where they begin at a multiple of this in their file."""

# Addresses, not memory: what is not mapped takes none. Of a limit, many arrays and all else get their share.
_MOST_ADDRESSES = 1 << 39
_SHARE_OF_LIMIT = 64
_MAP_FIXED = 0x10  # sys/mman.h of Linux, macOS and the BSDs


class SideBySide:
    """An array of rows, all of one size, in which the rows of files stand. Threads may share one."""

    def __init__(self, row_bytes: int) -> None:
        """Takes addresses for them, as many as the process may have; where it has none left, there is no room."""
        self._room = _addresses()
        count = len(self._room) // max(1, row_bytes)  # rows of nothing are counted too
        self._rows = np.frombuffer(self._room, np.uint8, count * row_bytes).reshape(count, row_bytes)
        self._step = PAGE_BYTES // math.gcd(PAGE_BYTES, row_bytes)
        self._next = 0
        self._adding = threading.Lock()

    def has_room(self, count: int) -> bool:
        """Whether so many rows can be added."""
        return self._next + count <= len(self._rows)

    def add(self, file: int, start: int, count: int) -> int:
        """Maps `count` rows of an open file from the byte `start` on, a multiple of `PAGE_BYTES`.

        Returns the number of the first.

        Raises:
            OSError: they cannot be mapped, or there is no room for them.
        """
        row_bytes = self._rows.shape[1]
        with self._adding:
            if not self.has_room(count):
                raise OSError("no addresses are left for rows")
            first = self._next
            self._next += -(-count // self._step) * self._step  # also where mapping fails, which may leave a hole
        _map(self._rows.ctypes.data + first * row_bytes, count * row_bytes, file, start)
        return first

    def take(self, numbers: Numbers, out: Bytes) -> None:
        """Copies rows (k,) to `out` (k, m). Each must be there: touching one that is not ends the process."""
        np.take(self._rows, numbers, axis=0, out=out, mode="clip")  # another mode takes through a copy


def _addresses() -> mmap.mmap:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    size = _MOST_ADDRESSES if limit == resource.RLIM_INFINITY else min(_MOST_ADDRESSES, limit // _SHARE_OF_LIMIT)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    while size > PAGE_BYTES:
        with suppress(OSError):
            return mmap.mmap(-1, size, flags=flags, prot=0)
        size //= _SHARE_OF_LIMIT  # so that the process keeps some for others
    return mmap.mmap(-1, PAGE_BYTES, flags=flags, prot=0)


def _map(address: int, size_bytes: int, file: int, start: int) -> None:
    """Maps bytes of a file, to be read, at an address that is this process's. Python's own mmap chooses the address."""
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    if size_bytes:
        given = library.mmap(address, size_bytes, mmap.PROT_READ, mmap.MAP_SHARED | _MAP_FIXED, file, start)
        if given != address:
            raise OSError(ctypes.get_errno(), "rows cannot be mapped")
