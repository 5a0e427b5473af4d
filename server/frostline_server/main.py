"""The command `frostline-server`."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import click
import structlog
from pydantic import ValidationError

from frostline_server.app import PortTakenError, serve
from frostline_server.jail.locks import sandbox_here
from frostline_server.jobs.freed_memory import give_freed_memory_back, keep_freed_memory
from frostline_server.settings import Settings
from frostline_server.wiring import build
from frostline_zoo.files import make_folder

_TAKEN = "{} cannot be listened on: something else does, or it is not this machine's"
_KEPT_BYTES = 64 << 20
_QUIET_SECONDS, _QUIET_SHARE = 5.0, 0.02


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", metavar="DIR", help="The folder that holds everything; made where missing.  [default: data]")
@click.option("--listen", metavar="HOST:PORT", help="Where to listen; port 0: any.  [default: 127.0.0.1:8470]")
@click.option("--insecure", is_flag=True, default=None, help="Listen beyond this machine, unencrypted and open to all.")
@click.option("--workers/--no-workers", default=None, help="Train, import, export and predict.  [default: --workers]")
@click.option("--feature-bytes", metavar="SIZE", help="Disk for features, as in 10GiB; 0: none.  [default: half]")
@click.option("--feature-memory", metavar="SIZE", help="Memory for a job's features; at least 1MiB.  [default: half]")
@click.option("--worker-growth", metavar="SIZE", help="Memory that a worker may gather.  [default: an eighth]")
@click.option("--hub-hosts", metavar="HOST,...", help="Where networks of TF Hub are fetched from.  [default: nowhere]")
@click.option(
    "--require-sandbox", is_flag=True, default=None, help="Do not start where files cannot be read in a full jail."
)
@click.option("--metrics", metavar="HOST:PORT", help="Where to serve metrics for Prometheus.  [default: nowhere]")
@click.version_option(package_name="frostline-server", prog_name="frostline-server")
def main(**options: Any) -> None:
    """Run a Frostline server: a zoo of networks, and the jobs that reuse them.

    Once it answers, it prints one line with its address; its log goes to standard error. SIGTERM stops it: calls under
    way have ten seconds to end, and jobs go on where they were when a server starts on the same folder again.

    \b
    frostline-server                              a zoo in ./data, on 127.0.0.1:8470
    frostline-server --data /srv/zoo --listen 127.0.0.1:0
    frostline-server --feature-bytes 200GiB --metrics 127.0.0.1:9470
    frostline-server --hub-hosts tfhub.dev,www.kaggle.com,storage.googleapis.com
    frostline --help                              what to do with it

    Every option can be set in the environment too, as in FROSTLINE_DATA=/srv/zoo or FROSTLINE_INSECURE=true.
    """
    try:
        settings = Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        _refuse(_explained(error))
    if settings.require_sandbox and not (sandbox := sandbox_here()).complete:
        _refuse(f"{sandbox.missing}, and --require-sandbox asks for it: use Linux 5.13 or newer, or do without")
    _log_to_stderr()
    keep_freed_memory(_KEPT_BYTES)
    data = settings.data.resolve()
    for address in filter(None, (settings.listen, settings.metrics)):
        if not _is_free(address):
            _refuse(_TAKEN.format(address))
    try:
        make_folder(data)
        lock = _lock(data)
    except OSError:
        _refuse(f"{settings.data} cannot be written: choose another folder with --data")
    with os.fdopen(lock):
        try:
            asyncio.run(_run(settings, data))
        except PortTakenError as error:
            _refuse(_TAKEN.format(error))


async def _give_freed_memory_back() -> None:
    """Gives the kernel what the C library has kept, whenever the server has had hardly anything to do."""
    while True:
        before = time.process_time()
        await asyncio.sleep(_QUIET_SECONDS)
        if time.process_time() - before < _QUIET_SHARE * _QUIET_SECONDS:
            await asyncio.to_thread(give_freed_memory_back)


async def _run(settings: Settings, data: Path) -> None:
    wiring = await asyncio.to_thread(build, settings, data)
    giving = asyncio.create_task(_give_freed_memory_back())
    await serve(wiring, lambda address: print(f"Frostline listens on {address}, data in {settings.data}", flush=True))
    giving.cancel()


def _is_free(listen: str) -> bool:
    """Says whether HOST:PORT can be listened on. gRPC finds out too, but late, and with a line of its own."""
    host, _, port = listen.rpartition(":")
    errors: list[int | None] = []
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError:
        return False
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
        except OSError as error:  # a machine without IPv6 has one address less for localhost
            errors.append(error.errno)
    return errno.EADDRINUSE not in errors and len(errors) < len(found)


def _lock(data: Path) -> int:
    """Keeps other servers off the folder for as long as this process lives, however it ends."""
    lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _refuse(f"another server uses {data}: stop it, or choose another folder with --data")
    return lock


def _explained(error: ValidationError) -> str:
    first = error.errors()[0]
    setting = f"--{first['loc'][0]}: ".replace("_", "-") if first["loc"] else ""
    return setting + first["msg"].removeprefix("Value error, ")


def _refuse(line: str) -> NoReturn:
    print(f"frostline-server: {line}", file=sys.stderr)
    sys.exit(1)


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False) if sys.stderr.isatty() else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    main()
