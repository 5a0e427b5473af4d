"""The executor: where jobs run. Here that is one trainer, a local child process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import structlog

from frostline_server.jobs.bell import Bell
from frostline_server.jobs.channel import Frame
from frostline_server.jobs.leases import Leases
from frostline_server.jobs.processes import Child
from frostline_zoo.names import JobName

LEASE_SECONDS = 20.0
LOOK_SECONDS = 5.0

log = structlog.get_logger()


class LocalExecutor:
    """Runs the jobs of the table in a trainer beside the server, one after the other.

    Trainer and server meet in the table. The channel between them carries only hints: "look now", "stop this one",
    "there is news of that one"; a lost one costs a second.
    """

    def __init__(self, command: Sequence[str], leases: Leases, bell: Bell, look_seconds: float = LOOK_SECONDS) -> None:
        self._look_seconds = look_seconds
        self._leases = leases
        self._bell = bell
        self._child = Child(command, self._received, self._died)
        self._looking: asyncio.Task[None] | None = None

    @property
    def ready(self) -> asyncio.Event:
        """Set while the trainer is warm."""
        return self._child.ready

    async def start(self) -> None:
        """Takes back what workers of an earlier server had, and starts the trainer in the background."""
        for job in await asyncio.to_thread(self._leases.release_all):
            log.info("a job goes on", job=str(job))
        self._child.start()
        self._looking = asyncio.create_task(self._look_at_leases())

    async def wake(self) -> None:
        """Tells the trainer that a job waits."""
        await self._child.tell(Frame({"wake": True}))

    async def cancel(self, job: JobName) -> None:
        """Tells the trainer to stop `job` where it runs that one."""
        await self._child.tell(Frame({"cancel": job.job}))

    async def stop(self, grace_seconds: float) -> None:
        """Stops the trainer, which gives its job back; a server that starts later goes on with it."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
        await self._child.stop(grace_seconds)

    def _received(self, frame: Frame) -> None:
        self._bell.ring(JobName(frame.header["news"]))

    async def _died(self, owner: str, crashed: bool) -> None:
        for job in await asyncio.to_thread(self._leases.release_dead, owner, crashed=crashed):
            log.warning("a job was taken from a dead worker", job=str(job))
            self._bell.ring(job)

    async def _look_at_leases(self) -> None:
        """Takes the jobs of workers that do not extend their leases. Where one lives and hangs, only another one helps.

        A lease has to be over at two looks in a row: a machine that slept wakes with every lease over.
        """
        suspects: set[str] = set()
        while True:
            await asyncio.sleep(self._look_seconds)
            try:
                expired = await asyncio.to_thread(self._leases.expired_owners)
                for owner in expired & suspects:
                    log.warning("a worker hangs", owner=owner)
                    if owner == self._child.owner:
                        self._child.kill()
                    else:
                        await self._died(owner, crashed=True)
                suspects = expired
            except Exception:  # the next look may go better
                log.exception("the leases could not be looked at")
