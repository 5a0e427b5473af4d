"""Runs the careless reader: `python -m tests.hostile.unguarded open|locked`, from the root of the repository.

For each line of standard input, a JSON list of a folder to work in and of files, it reads these in a process of its own
and answers with a line: whether a secret was read, how the process ended, the most memory that it took. Locked, the
process first closes the locks of the jail on itself.
"""

from __future__ import annotations

import encodings.cp437
import encodings.idna  # noqa: F401
import json
import os
import resource
import sys
from pathlib import Path

from frostline_server.jail.locks import lock
from tests.hostile.careless import load

CPU_SECONDS = 20
LOCKED_BYTES = 2 << 30
OPEN_BYTES = 4 << 30  # so that this machine stays well


def main() -> None:
    """Reads what is asked for, until there is no more."""
    for line in sys.stdin:
        work, *paths = json.loads(line)
        secrets, ours = os.pipe()
        reader = os.fork()
        if not reader:
            _read(work, paths, ours, locked=sys.argv[1] == "locked")
        os.close(ours)
        with os.fdopen(secrets, "rb") as said:
            has_read = said.read() != b""
        _, status, usage = os.wait4(reader, 0)
        answer = {"has_read": has_read, "status": status, "peak_bytes": usage.ru_maxrss << 10}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _read(work: str, paths: list[str], ours: int, *, locked: bool) -> None:
    """Reads files, in a process that ends with it."""
    status = 1
    try:
        contents = {Path(path).name: Path(path).read_bytes() for path in paths}
        os.chdir(work)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        if locked:
            lock(LOCKED_BYTES, CPU_SECONDS)
        else:
            resource.setrlimit(resource.RLIMIT_AS, (OPEN_BYTES, OPEN_BYTES))
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        load(contents, lambda: os.write(ours, b"read"))
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
