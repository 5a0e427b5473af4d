"""Decoding images beside whatever else Python does.

Small images are decoded by one thread at a time, however many there are: Python's lock is let go of for some
microseconds a file, which is over before another thread has woken up. Processes of its own decode them into memory
that they share.
"""

from __future__ import annotations

import math
import os
import select
import struct
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from frostline_zoo.examples import images
from frostline_zoo.examples.helper_process import HelperProcess
from frostline_zoo.examples.image_decoding import AREA_BYTES, DONE, READY, REFUSED, REQUEST

Pixels = npt.NDArray[np.uint8]

LARGEST_REQUEST_BYTES = 1 << 20
"""Larger files take so long that threads can decode them side by side."""

_MOST = min(8, os.cpu_count() or 1)


class ImageDecoder:
    """Decodes image files, as many at once as there are processors. Threads share one.

    A thread that gives way to others is served by processes that do, which are those that such a thread has started.
    """

    def __init__(self) -> None:
        """Starts nothing: processes come with the first files, and end with this one."""
        self._changing = threading.Lock()
        self._idle: list[_Process] = []
        self._counts: Counter[int] = Counter()

    def decode(self, files: Sequence[bytes], height: int, width: int, channels: int, interpolation: str) -> Pixels:
        """Returns the pixels of JPEG or PNG files, (n, height, width, channels), as `images.decode` does each.

        Raises:
            InvalidError: one of them is no whole image.
        """
        shape = (len(files), height, width, channels)
        fits = math.prod(shape) <= AREA_BYTES and sum(map(len, files)) <= LARGEST_REQUEST_BYTES
        process = self._taken() if fits else None
        pixels = None
        if process is not None:
            try:
                pixels = process.decode(files, shape, images.INTERPOLATIONS.index(interpolation))
            except OSError:  # it was killed
                with self._changing:
                    self._counts[process.niceness] -= 1
            else:
                with self._changing:
                    self._idle.append(process)
        if pixels is None:
            pixels = np.empty(shape, np.uint8)
            for row, content in zip(pixels, files, strict=True):
                row[...] = images.decode(content, height, width, channels, interpolation)
        return pixels

    def _taken(self) -> _Process | None:
        """Returns a process that nobody uses, or None while there is none; then it may start one for the next time."""
        niceness = os.getpriority(os.PRIO_PROCESS, 0)  # on Linux this thread's
        with self._changing:
            for process in [each for each in self._idle if each.niceness == niceness]:
                with suppress(OSError):
                    if not process.is_ready():
                        continue
                    self._idle.remove(process)
                    return process
                self._idle.remove(process)  # it has ended
                self._counts[niceness] -= 1
            if self._counts[niceness] < _MOST:
                with suppress(OSError):  # the system starts no more
                    self._idle.append(_Process(niceness))
                    self._counts[niceness] += 1
        return None


class _Process:
    """A process that decodes.

    Attributes:
        niceness: of the thread that has started it, and so its own.
    """

    def __init__(self, niceness: int) -> None:
        self.niceness = niceness
        self._helper = HelperProcess(["-m", "frostline_zoo.examples.image_decoding"], "frostline-pixels", AREA_BYTES)
        self._is_ready = False

    def is_ready(self) -> bool:
        """Whether it has started up. Raises OSError where it has ended."""
        answers = self._helper.answers
        if not self._is_ready and select.select([answers], [], [], 0)[0]:
            if answers.read(1) != READY:
                raise BrokenPipeError
            self._is_ready = True
        return self._is_ready

    def decode(self, files: Sequence[bytes], shape: tuple[int, ...], interpolation: int) -> Pixels | None:
        """Returns the files' pixels; None where one is no whole image. Raises OSError where the process has ended."""
        requests = self._helper.requests
        count, height, width, channels = shape
        requests.write(REQUEST.pack(height, width, channels, interpolation, count))
        requests.write(struct.pack(f"<{count}I", *map(len, files)))
        requests.write(b"".join(files))
        requests.flush()
        answer = self._helper.answers.read(1)
        if answer == REFUSED:
            return None
        if answer != DONE:
            raise BrokenPipeError
        return self._helper.area[: math.prod(shape)].reshape(shape).copy()
