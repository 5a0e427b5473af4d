"""A server of one's own, for a notebook, a demo or a test.

with serve("zoo") as address:
    zoo = Client(address)

It ends with the process that started it, however that one ends: its standard input is a pipe whose other end only that
process holds.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_LINE = re.compile(r"Frostline listens on (\S+), data in ")
STOP_SECONDS = 30


class StartError(Exception):
    """The server did not start; the text says why, as the server put it."""


@contextmanager
def serve(
    data: str | Path, *, listen: str = "127.0.0.1:0", workers: bool = True, options: Sequence[str] = ()
) -> Iterator[str]:
    """Runs a server as a child process, and gives its address. Its log is added to `data`/server.log.

    Args:
        data: the folder that holds everything; made where it is missing.
        listen: HOST:PORT; port 0 takes a free one.
        workers: whether to start the processes that train, import, export and predict.
        options: others of `frostline-server`, such as ["--feature-bytes", "10GiB"].

    Raises:
        StartError: it did not start.
    """
    process = start(data, listen=listen, workers=workers, options=options)
    try:
        yield address_of(process, data)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start(
    data: str | Path, *, listen: str = "127.0.0.1:0", workers: bool = True, options: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Starts a server as a child process that the caller stops, and keeps a hold of until then.

    Ask `address_of` where it listens.
    """
    Path(data).mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "frostline_server.embedded", "--data", str(data), "--listen", listen]
    with (Path(data) / "server.log").open("a") as log:
        return subprocess.Popen(
            [*command, "--workers" if workers else "--no-workers", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )


def address_of(process: subprocess.Popen[str], data: str | Path) -> str:
    """Waits until a server that `start` has started on `data` answers, and returns its address.

    Raises:
        StartError: it ended instead.
    """
    assert process.stdout is not None
    line = process.stdout.readline()
    found = _LINE.match(line)
    if found is None:
        process.wait()
        raise StartError((Path(data) / "server.log").read_text().strip().rpartition("\n")[2])
    return found.group(1)


def _end_with_parent() -> None:
    """Waits for the end of standard input, which comes when the parent lets go of it or dies; then ends as asked to."""
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    from frostline_server.main import main

    threading.Thread(target=_end_with_parent, daemon=True).start()
    main()
