"""The process of an `ImageDecoder`: it decodes image files into shared memory, until its input ends."""

from __future__ import annotations

import mmap
import struct
import sys
from typing import BinaryIO

import numpy as np

from frostline_zoo.errors import InvalidError
from frostline_zoo.examples import images

AREA_BYTES = 16 << 20
"""The size of the shared memory, which the pixels of one request stand in."""

REQUEST = struct.Struct("<IIIII")
"""Height, width and channels of the pixels, the number of the interpolation, and how many files there are."""

READY, DONE, REFUSED = b"r", b".", b"!"


def serve(memory: mmap.mmap, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers every request, which is followed by its files' sizes and its files, once all pixels are there."""
    area = np.frombuffer(memory, np.uint8)
    answers.write(READY)
    while len(header := requests.read(REQUEST.size)) == REQUEST.size:
        height, width, channels, interpolation, count = REQUEST.unpack(header)
        sizes = struct.unpack(f"<{count}I", requests.read(4 * count))
        files = [requests.read(size) for size in sizes]
        pixels = area[: count * height * width * channels].reshape(count, height, width, channels)
        try:
            for row, content in zip(pixels, files, strict=True):
                row[...] = images.decode(content, height, width, channels, images.INTERPOLATIONS[interpolation])
        except InvalidError:
            answers.write(REFUSED)
        else:
            answers.write(DONE)


if __name__ == "__main__":
    with (
        open(sys.stdin.fileno(), "rb", closefd=False) as requests,
        open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as answers,
    ):
        serve(mmap.mmap(int(sys.argv[1]), AREA_BYTES), requests, answers)
