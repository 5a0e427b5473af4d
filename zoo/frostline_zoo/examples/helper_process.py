"""Processes of our own that work on memory which they share with this one."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

import numpy as np


class HelperProcess:
    """A Python process, and the memory that is shared with it. It ends when its input does, also where nobody says so.

    Attributes:
        area: the memory, as bytes.
        requests: its input.
        answers: its output.
    """

    def __init__(self, arguments: Sequence[str], name: str, size_bytes: int) -> None:
        """Starts `python -I ARGUMENTS DESCRIPTOR`, the last being that of the memory. Raises OSError where it cannot.

        Args:
            arguments: of the interpreter.
            name: of the memory, for people who look.
            size_bytes: of the memory.
        """
        descriptor = _memory_file(name, size_bytes)
        try:
            self.area = np.frombuffer(mmap.mmap(descriptor, size_bytes), np.uint8)
            process = subprocess.Popen(
                [sys.executable, "-I", *arguments, str(descriptor)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[descriptor],
                start_new_session=True,  # so that an interrupt from the terminal is the server's to handle
            )
        finally:
            os.close(descriptor)
        assert process.stdin is not None
        assert process.stdout is not None
        self.requests, self.answers = process.stdin, process.stdout
        weakref.finalize(self, _end, self.requests)  # what Python keeps of a process that runs, would stay open


def _end(requests: IO[bytes]) -> None:
    with suppress(BrokenPipeError):  # it was killed, with a request on its way
        requests.close()


def _memory_file(name: str, size_bytes: int) -> int:
    """Returns the descriptor of a new one, to be mapped and handed over; `name` is for people who look."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create(name)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.truncate(descriptor, size_bytes)
    return descriptor
