"""The process of a `RowHasher`: it hashes rows that stand in shared memory, until its input ends.

It is run by its path, without the packages around it, so that it starts within milliseconds and takes little memory.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
import sys
from typing import BinaryIO

AREA_BYTES = 4 << 20
"""The size of each half of the shared memory: the rows, and after them their digests."""

DIGEST_BYTES = 32
REQUEST = struct.Struct("<III")
"""The size of the text that is hashed before each row, the size of a row, and how many rows there are."""

DONE = b"."


def serve(memory: mmap.mmap, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers every request, which is followed by its text, once the digests stand in `memory`."""
    rows = memoryview(memory)
    while len(header := requests.read(REQUEST.size)) == REQUEST.size:
        text_size, row_bytes, count = REQUEST.unpack(header)
        copy = hashlib.sha256(requests.read(text_size)).copy
        digests = []
        for start in range(0, count * row_bytes, row_bytes):
            hashed = copy()
            hashed.update(rows[start : start + row_bytes])
            digests.append(hashed.digest())
        memory[AREA_BYTES : AREA_BYTES + count * DIGEST_BYTES] = b"".join(digests)
        answers.write(DONE)


if __name__ == "__main__":
    with (
        mmap.mmap(int(sys.argv[1]), 2 * AREA_BYTES) as memory,
        open(sys.stdin.fileno(), "rb", closefd=False) as requests,
        open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as answers,
    ):
        serve(memory, requests, answers)
