"""The process in the jail: `python -I -m frostline_server.jail.child CONTENT`, a descriptor of what is to be read.

It gets a request as JSON on standard input, imports what the format's reader needs, closes the locks, reads, and
answers on standard output in pieces: a letter, four bytes with a length, and so many bytes. `D` is data, `E` the end,
`R` a refusal as JSON, `L` says that the locks are closed.
"""

from __future__ import annotations

import encodings.cp437  # zipfile wants it for names, and it cannot be imported later
import gc
import json
import mmap
import os
import struct
import sys

from frostline_server.jail.limits import LONGEST_PIECE_BYTES
from frostline_server.jail.locks import lock
from frostline_zoo.errors import ExhaustedError, ZooError
from frostline_zoo.foreign.files import Files, Member
from frostline_zoo.foreign.reader import answer, format_in, reader_for

_MORE_FILES_THAN_ANYBODY_HAS = 1 << 16
_PRELOADED = (encodings.cp437,)


def main() -> None:
    """Reads one import, and ends."""
    content = int(sys.argv[1])
    request = json.loads(sys.stdin.buffer.read())
    try:
        files = _mapped(content, request["members"])
        found = format_in(files, request["main"], request["format"])
        reader = reader_for(found, weights_only=request["weights_only"])
        gc.disable()  # it is over soon, and what is imported need not be looked through again and again
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what a file makes a parser say is nobody's news
        os.closerange(3, _MORE_FILES_THAN_ANYBODY_HAS)
        lock(request["memory_bytes"], request["cpu_seconds"])
        _send(b"L", b"")
        for piece in answer(reader, files, request["main"]):
            _send_data(memoryview(piece))
        _send(b"E", b"")
    except MemoryError:
        _refuse(ExhaustedError("the file takes too much memory to be read", reason="LIMIT_MEMORY"))
    except ZooError as refusal:
        _refuse(refusal)
    os._exit(0)


def _mapped(content: int, members: list[tuple[str, int, int]]) -> Files:
    size = os.fstat(content).st_size
    whole = mmap.mmap(content, 0, access=mmap.ACCESS_READ) if size else b""
    os.close(content)
    return Files(whole, [Member(*member) for member in members])


def _send_data(piece: memoryview) -> None:
    for start in range(0, len(piece), LONGEST_PIECE_BYTES):
        _send(b"D", piece[start : start + LONGEST_PIECE_BYTES])


def _send(kind: bytes, piece: bytes | memoryview) -> None:
    for part in (kind + struct.pack(">I", len(piece)), piece):
        view = memoryview(part)
        while view:
            view = view[os.write(1, view) :]


def _refuse(refusal: ZooError) -> None:
    kind = "exhausted" if isinstance(refusal, ExhaustedError) else "invalid"
    _send(b"R", json.dumps({"kind": kind, "message": refusal.message, "reason": refusal.reason}).encode())


if __name__ == "__main__":
    main()
