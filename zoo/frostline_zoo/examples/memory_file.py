"""Memory that is shared with a process of our own, as a file without a name."""

from __future__ import annotations

import os
import tempfile


def memory_file(name: str, size_bytes: int) -> int:
    """Returns the descriptor of a new one, to be mapped and handed over; `name` is for people who look."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create(name)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.truncate(descriptor, size_bytes)
    return descriptor
