"""The server's side of the jail: a process for each import, watched, and killed when it takes too long.

Whatever happens in there, what comes out is bytes for `wire.decode`, or a refusal.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import struct
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from frostline_server.jail.limits import LONGEST_PIECE_BYTES, Limits, limits_for
from frostline_zoo.errors import ExhaustedError, InvalidError, ZooError
from frostline_zoo.foreign.files import Member
from frostline_zoo.foreign.wire import MAX_BYTES

AT_ONCE = 2
COMMAND = (sys.executable, "-I", "-m", "frostline_server.jail.child")
# All of the environment: one thread, and no plugins of HDF5 from anywhere.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "HDF5_PLUGIN_PATH": "::", "LC_ALL": "C.UTF-8"}
_LONGEST_REFUSAL_BYTES = 16 << 10
_REASON = re.compile(r"[A-Z][A-Z0-9_]{1,39}")
_HEAD = struct.Struct(">cI")

log = structlog.get_logger()

Write = Callable[[bytes], Awaitable[None]]


class JailError(Exception):
    """The process did not come as far as to its locks: it is the server that is broken, not the file."""


class _NonsenseError(Exception):
    """The process sent what it would not have sent by itself."""


class Jail:
    """Reads files of other tools, each import in a process of its own that can do nothing but read it."""

    def __init__(self, command: Sequence[str] = COMMAND, limits: Callable[[int], Limits] = limits_for) -> None:
        """Makes a jail whose processes run `command`; `limits` gives what they may use for a size in bytes."""
        self._command = command
        self._limits = limits
        self._room = asyncio.Semaphore(AT_ONCE)

    async def read(
        self,
        content: Path,
        members: Sequence[Member],
        main: str,
        format: str,
        write: Write,
        *,
        weights_only: bool = False,
    ) -> None:
        """Reads the network in an import's files, and gives it to `write`, piece by piece, as `wire` has it.

        Args:
            content: a file with the bytes of all the files.
            members: which of the bytes are whose.
            main: the name of the file to start with.
            format: one of `formats.FORMATS`, or "auto".
            write: gets the pieces; they mean nothing before `read` has returned.
            weights_only: whether the arrays are wanted, by their names, rather than a network.

        Raises:
            InvalidError: the files are refused, or made their reader crash (PARSER_CRASHED).
            ExhaustedError: they are refused, or reading them takes too much memory (LIMIT_MEMORY) or time (LIMIT_TIME).
        """
        limits = self._limits(content.stat().st_size)
        request = {
            "members": members,
            "main": main,
            "format": format,
            "weights_only": weights_only,
            "memory_bytes": limits.memory_bytes,
            "cpu_seconds": limits.cpu_seconds,
        }
        async with self._room:
            process = await self._start(content)
            try:
                async with asyncio.timeout(limits.wall_seconds):
                    await _ask(process, json.dumps(request).encode())
                    await _receive(process, write)
            except TimeoutError:
                raise _takes_too_long() from None
            except _NonsenseError as error:
                log.warning("a reader of files sent nonsense", what=str(error))
                raise _crashed() from None
            finally:
                await _end(process)

    async def _start(self, content: Path) -> asyncio.subprocess.Process:
        descriptor = os.open(content, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return await asyncio.create_subprocess_exec(
                *self._command,
                str(descriptor),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=sys.__stderr__,  # until the locks close
                pass_fds=[descriptor],
                env=ENVIRONMENT,
                cwd="/",
                limit=4 * LONGEST_PIECE_BYTES,
            )
        finally:
            os.close(descriptor)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kills a process that still runs, and waits for its end, which shows only once all that it said is taken."""
    assert process.stdout is not None
    if process.returncode is None:
        process.kill()
    while await process.stdout.read(LONGEST_PIECE_BYTES):
        pass
    await process.wait()


async def _ask(process: asyncio.subprocess.Process, request: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):  # its end will say why
        process.stdin.write(request)
        await process.stdin.drain()
    process.stdin.close()


async def _receive(process: asyncio.subprocess.Process, write: Write) -> None:
    """Takes pieces until the answer is whole. Raises what the process refuses, and what its end means."""
    assert process.stdout is not None
    is_locked, size = False, 0
    while True:
        try:
            kind, length = _HEAD.unpack(await process.stdout.readexactly(_HEAD.size))
            if length > LONGEST_PIECE_BYTES:
                raise _NonsenseError("a long piece")
            piece = await process.stdout.readexactly(length)
        except asyncio.IncompleteReadError:
            raise _meaning_of(await process.wait(), is_locked) from None
        size += length
        if kind == b"L":
            is_locked = True
        elif kind == b"D" and is_locked and size <= MAX_BYTES:
            await write(piece)
        elif kind == b"E" and is_locked:
            return
        elif kind == b"R":
            raise _refusal(piece)
        else:
            raise _NonsenseError("a piece of no kind, or too many")


def _refusal(piece: bytes) -> ZooError:
    try:
        said = json.loads(piece)
        kind = {"invalid": InvalidError, "exhausted": ExhaustedError}[said["kind"]]
        message, reason = said["message"], said["reason"]
        if len(piece) > _LONGEST_REFUSAL_BYTES or not message.isprintable() or not _REASON.fullmatch(reason):
            raise ValueError
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _NonsenseError("a refusal that is none") from error
    return kind(message, reason=reason)


def _meaning_of(status: int, is_locked: bool) -> Exception:
    """Returns what it means that the process ended without an answer."""
    if status == -signal.SIGXCPU:
        return _takes_too_long()
    if status == -signal.SIGKILL:  # by the kernel, which had no memory left
        return ExhaustedError("the file takes too much memory to be read", reason="LIMIT_MEMORY")
    return _crashed() if is_locked else JailError(f"status {status}: standard error has the cause")


def _takes_too_long() -> ExhaustedError:
    return ExhaustedError("the file takes too long to be read: it is damaged, or made to do harm", reason="LIMIT_TIME")


def _crashed() -> InvalidError:
    return InvalidError("the file made its reader crash: it is damaged, or made to do harm", reason="PARSER_CRASHED")
