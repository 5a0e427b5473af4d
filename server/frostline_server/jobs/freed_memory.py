"""What the C library does with memory that was freed: keeps some for the next who asks, or gives it to the kernel.

Pages that come from the kernel are cleared first, and on a virtual machine its host may have to find them: to clear a
gigabyte may take as long as a network takes for thousands of small images.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_LARGEST_KEPT_BYTES = 32 << 20  # glibc takes no more than DEFAULT_MMAP_THRESHOLD_MAX


def keep_freed_memory(kept_bytes: int) -> None:
    """Has the C library keep so many bytes that were freed, instead of giving every megabyte back to the kernel.

    Streams' pieces and batches of rows are allocated and freed all the time. To be called before there are threads:
    each would have memory of its own, which no other one uses again.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda *_: 0)  # glibc has it, others need it less
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, kept_bytes)
        mallopt(_M_ARENA_MAX, 1)


def give_freed_memory_back() -> None:
    """Has the C library give the kernel what it has kept."""
    if sys.platform == "linux":
        getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)
