"""Child processes: started, spoken with, started again when they die, and gone when the server is.

A child ends with its server in two ways: the kernel kills it (Linux), and its channel ends (everywhere). The kernel
ties the child to the thread that started it, so that has to be the event loop's, which lives as long as the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence

import structlog

from frostline_server.jobs.channel import ChildChannel, Frame, ServerChannel
from frostline_server.jobs.output import pass_on
from frostline_zoo.errors import UnavailableError

LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 20.0
ENDING_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1

ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}

log = structlog.get_logger()


class Child:
    """A child process that is kept running, and the channel to it.

    Attributes:
        owner: names the process that runs now; another one after every start.
        ready: set while the process has said that it is warm, and not that it ends.
    """

    def __init__(
        self,
        command: Sequence[str],
        received: Callable[[Frame], None],
        died: Callable[[str, bool], Awaitable[None]],
    ) -> None:
        """Makes a child that runs `command` and then `--owner OWNER --channel DESCRIPTOR --parent PID`.

        `received` is called with every frame that it sends, `died` with the owner, and whether it crashed, whenever a
        process has ended. One that sends what is no frame, or what `received` raises for, is killed.
        """
        self.owner = ""
        self.ready = asyncio.Event()
        self._command = command
        self._received = received
        self._died = died
        self._stopping = False
        self._process: asyncio.subprocess.Process | None = None
        self._channel: ServerChannel | None = None
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts the process, in the background."""
        self._running = asyncio.create_task(self._keep_running())

    async def send(self, frame: Frame) -> str:
        """Sends a frame to the process once there is one that is warm: what came before could not have killed it.

        Returns the owner that it was sent to.

        Raises:
            UnavailableError: the server is stopping, or it runs no workers.
        """
        self.check_running()
        while True:
            if not self._stopping:
                await self.ready.wait()
            if self._stopping or self._channel is None:
                raise UnavailableError("the server is stopping: try again when it is back")
            try:
                owner = self.owner
                await self._channel.send(frame)
                return owner
            except ConnectionError:
                self.ready.clear()

    def check_running(self) -> None:
        """Raises UnavailableError where the process was never started."""
        if self._running is None:
            raise UnavailableError("this server runs no workers: start it with --workers", reason="NO_WORKERS")

    async def tell(self, frame: Frame) -> None:
        """Sends a frame where a process listens; one that starts later looks around by itself."""
        if self.ready.is_set() and not self._stopping and self._channel is not None:
            with contextlib.suppress(ConnectionError):
                await self._channel.send(frame)

    def kill(self) -> None:
        """Kills the process, which is then started again."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def stop(self, grace_seconds: float) -> None:
        """Asks the process to end, and kills it where it has not after `grace_seconds`."""
        self._stopping = True
        if not self.ready.is_set():
            self.kill()  # it has nothing yet that it could lose
        self.ready.set()  # whoever waits for a process is told that none will come
        if self._running is None:
            return
        if self._channel is not None:
            with contextlib.suppress(ConnectionError):
                await self._channel.send(Frame({"stop": True}))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._running), grace_seconds)
        self.kill()
        self._running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._running

    async def _keep_running(self) -> None:
        pause = 0.0
        clock = asyncio.get_running_loop().time
        while not self._stopping:
            started = clock()
            try:
                await self._run()
            except Exception:
                log.exception("a worker could not be kept running", owner=self.owner)
            if self._stopping:
                return
            pause = 0.0 if clock() - started > STEADY_SECONDS else min(max(0.25, 2 * pause), LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause)

    async def _run(self) -> None:
        self.owner = f"{os.uname().nodename[:40]}-{secrets.token_hex(6)}"
        ours, theirs = socket.socketpair()
        with theirs:
            end = theirs.fileno()
            options = ["--owner", self.owner, "--channel", str(end), "--parent", str(os.getpid())]
            process = await asyncio.create_subprocess_exec(
                *self._command,
                *options,
                pass_fds=[end],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **ENVIRONMENT},
            )
        self._process = process
        assert process.stdout is not None
        said = asyncio.create_task(pass_on(process.stdout))
        self._channel = channel = ServerChannel(*await asyncio.open_connection(sock=ours))
        try:
            while (frame := await channel.receive()) is not None:
                is_ready = frame.header.get("ready")
                if is_ready is None:
                    self._received(frame)
                elif is_ready:
                    self.ready.set()
                else:  # it ends once it has said what it still has to say
                    self.ready.clear()
        except Exception:  # what sends nonsense has lost its way, or was taken over by a file that it read
            log.exception("a worker sent what is no message", owner=self.owner)
            process.kill()
        finally:
            self._channel = None
            if not self._stopping:
                self.ready.clear()
            channel.close()
        status = await _end_of(process)
        await asyncio.wait([said], timeout=ENDING_SECONDS)
        if not self._stopping:
            if status:
                log.warning("a worker died", owner=self.owner, status=status)
            else:
                log.info("a worker has grown: a fresh one follows", owner=self.owner)
        await self._died(self.owner, not self._stopping)


async def _end_of(process: asyncio.subprocess.Process) -> int:
    """Waits for a process whose channel has ended, and kills it where it does not follow; returns its status."""
    with contextlib.suppress(asyncio.TimeoutError):
        return await asyncio.wait_for(process.wait(), ENDING_SECONDS)
    process.kill()
    return await process.wait()


def enter_child(channel: int, parent: int) -> ChildChannel:
    """Makes this process a child of process `parent`, which listens at the other end of descriptor `channel`."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the whole group; the server says when to stop
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return ChildChannel(socket.socket(fileno=channel))
