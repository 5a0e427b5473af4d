"""The trainer: a warm process that takes jobs from the table, one after the other, runs and commits them."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import structlog

from frostline_server.jobs.channel import ChildChannel, Frame
from frostline_server.jobs.checkpoint import Checkpoint
from frostline_server.jobs.curves import Curves
from frostline_server.jobs.executor import LEASE_SECONDS
from frostline_server.jobs.growth import Growth
from frostline_server.jobs.leases import Leases
from frostline_server.jobs.records import Job, State
from frostline_server.jobs.reporter import Reporter
from frostline_server.jobs.warming import warm_up
from frostline_server.training.costs import Costs
from frostline_server.training.filling import Cancelled
from frostline_server.training.programs import Programs
from frostline_server.training.recipe import Recipe
from frostline_server.training.run import Surroundings, run_recipe
from frostline_server.training.zoo import ZooAccess
from frostline_zoo.errors import AbortedError, ZooError

POLL_SECONDS = 1.0
HEARTBEAT_SECONDS = LEASE_SECONDS / 4

log = structlog.get_logger()


class Trainer:
    """Runs jobs until it is told to stop, the server is gone, or it has grown by more than `growth_bytes`."""

    def __init__(
        self, channel: ChildChannel, owner: str, zoo: ZooAccess, leases: Leases, jobs_folder: Path, growth_bytes: int
    ) -> None:
        self._channel = channel
        self._owner = owner
        self._zoo = zoo
        self._leases = leases
        self._jobs_folder = jobs_folder
        self._growth_bytes = growth_bytes
        self._programs = Programs()
        self._costs = Costs()
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._stop_job = threading.Event()
        self._to_cancel = ""

    def run(self) -> None:
        """Warms up, says so, and works. What cannot be written down ends the process: another one goes on.

        So does one that is fresh where this one has gathered too much.
        """
        warm_up(train=True)
        growth = Growth(self._growth_bytes)
        self._costs.disk(self._zoo.features.root)
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        self._channel.send(Frame({"ready": True}))
        while not self._stopping.is_set():
            self._woken.clear()
            self._to_cancel = ""
            job = self._leases.claim(self._owner, LEASE_SECONDS)
            if job is None:
                self._woken.wait(POLL_SECONDS)
                continue
            with contextlib.suppress(AbortedError):  # it is another worker's now, and that one's to end
                self._work(job)
            self._news(job)
            if growth.is_too_much():
                self._channel.send(Frame({"ready": False}))
                return

    def _work(self, job: Job) -> None:
        log.info("a job starts", job=str(job.name), attempt=job.attempt)
        checkpoint = Checkpoint(self._jobs_folder / job.name.job)
        curves = Curves(self._jobs_folder / job.name.job / "tensorboard", job.attempt)
        try:
            with self._held(job):
                reporter = Reporter(job, self._leases, curves, lambda: self._news(job))
                self._news(job)
                try:
                    around = Surroundings(
                        self._zoo,
                        self._programs,
                        self._costs,
                        reporter.tell,
                        checkpoint,
                        lambda: self._is_cancelled(job) or reporter.lost.is_set(),
                        self._leases.waiting,
                    )
                    outcome = run_recipe(Recipe.parse(job.recipe), around, str(job.name))
                finally:
                    reporter.close()
                self._leases.finish(job, outcome.manifest, outcome.stages, outcome.metrics)
        except Cancelled:
            self._leases.give_back(job)
        except AbortedError:
            raise
        except ZooError as refusal:
            self._leases.fail(job, refusal.message)
        except Exception:
            incident = secrets.token_hex(4)
            log.exception("a job failed", job=str(job.name), incident=incident)
            self._leases.fail(job, f"internal error {incident}: the server's log says more")
        else:
            checkpoint.discard()
            log.info("a job ended", job=str(job.name))

    def _is_cancelled(self, job: Job) -> bool:
        return self._stop_job.is_set() or self._stopping.is_set() or self._to_cancel == job.name.job

    @contextlib.contextmanager
    def _held(self, job: Job) -> Iterator[None]:
        """Keeps the lease while the job runs."""
        done = threading.Event()
        self._stop_job.clear()

        def beat() -> None:
            while not done.wait(HEARTBEAT_SECONDS):
                try:
                    if self._leases.extend(job, LEASE_SECONDS) == State.CANCELLING:
                        self._stop_job.set()
                except AbortedError:
                    self._stop_job.set()
                    return
                except Exception:  # a busy or full disk: the lease outlasts a few missed beats
                    log.warning("a heartbeat failed", job=str(job.name), exc_info=True)

        heart = threading.Thread(target=beat, name="heart", daemon=True)
        heart.start()
        try:
            yield
        finally:
            done.set()
            heart.join()

    def _listen(self) -> None:
        while (frame := self._channel.receive()) is not None and "stop" not in frame.header:
            if "wake" in frame.header:
                self._woken.set()
            else:
                self._to_cancel = frame.header["cancel"]
        self._stopping.set()
        self._woken.set()

    def _news(self, job: Job) -> None:
        with contextlib.suppress(OSError):  # a server that is gone needs no hint
            self._channel.send(Frame({"news": job.name.job}))
