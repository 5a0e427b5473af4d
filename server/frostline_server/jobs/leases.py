"""Leases: the jobs as their workers and the workers' supervisor see them.

A worker has a job as long as its lease lasts, and the job counts its workers in `lease_epoch`. Whatever a worker
writes names the epoch it was given, so one that was taken for dead, and is not, changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, func, literal, select, true, update

from frostline_server.jobs.records import (
    Job,
    State,
    StateChanged,
    figures_to_json,
    job_from_row,
    stage_to_json,
)
from frostline_server.jobs.transitions import append, move, release
from frostline_server.training.events import Event, StageResult
from frostline_zoo.catalogue.database import now, reading
from frostline_zoo.catalogue.models import Models
from frostline_zoo.catalogue.tables import jobs
from frostline_zoo.errors import AbortedError
from frostline_zoo.manifest import Manifest
from frostline_zoo.names import JobName, VersionName

Happened = Sequence[tuple[datetime, Event | StateChanged]]


class Leases:
    """Gives jobs to workers, and takes what workers make of them."""

    def __init__(self, engine: Engine, models: Models) -> None:
        self._engine = engine
        self._models = models

    def claim(self, owner: str, lease_seconds: float) -> Job | None:
        """Gives the oldest pending job to worker `owner`, or returns None where none is pending."""
        pending = select(jobs.c.id).where(jobs.c.state == State.PENDING).order_by(jobs.c.id).limit(1)
        with reading(self._engine) as connection:
            if connection.execute(pending).first() is None:
                return None
        time = now()
        taken = update(jobs).where(jobs.c.id == pending.scalar_subquery())
        taken = taken.values(
            attempt=jobs.c.attempt + 1,
            lease_epoch=jobs.c.lease_epoch + 1,
            lease_owner=owner,
            lease_expires=time + timedelta(seconds=lease_seconds),
            started=func.coalesce(jobs.c.started, literal(time, jobs.c.started.type)),
        )
        with self._engine.begin() as connection:
            job_id = connection.execute(taken.returning(jobs.c.id)).scalar()
            if job_id is None:
                return None
            move(connection, job_id, StateChanged(State.RUNNING))
            return job_from_row(connection.execute(select(jobs).where(jobs.c.id == job_id)).one())

    def waiting(self, limit: int = 20) -> list[str]:
        """Returns the recipes of the jobs that are pending, the oldest first, at most `limit`."""
        pending = select(jobs.c.recipe).where(jobs.c.state == State.PENDING).order_by(jobs.c.id).limit(limit)
        with reading(self._engine) as connection:
            return list(connection.scalars(pending))

    def extend(self, job: Job, lease_seconds: float) -> State:
        """Makes the worker's lease last `lease_seconds` from now; returns the job's state: RUNNING or CANCELLING.

        Raises:
            AbortedError: the job is another worker's, or has ended.
        """
        with self._engine.begin() as connection:
            job_id, state = self._held(connection, job)
            expires = now() + timedelta(seconds=lease_seconds)
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(lease_expires=expires))
        return state

    def append(self, job: Job, happened: Happened) -> None:
        """Writes the events that happened to the worker's job.

        Raises:
            AbortedError: the job is another worker's, or has ended.
        """
        with self._engine.begin() as connection:
            job_id, _ = self._held(connection, job)
            append(connection, job_id, happened)

    def finish(
        self, job: Job, manifest: Manifest, stages: Sequence[StageResult], metrics: dict[str, float]
    ) -> VersionName | None:
        """Makes the version that the job came to and ends the job, both or neither.

        A job that was to be cancelled meanwhile makes no version: it ends CANCELLED, and None is returned.

        Raises:
            AbortedError: the job is another worker's, or has ended; nothing has changed.
        """
        with self._engine.begin() as connection:
            job_id, state = self._held(connection, job)
            if state == State.CANCELLING:
                move(connection, job_id, StateChanged(State.CANCELLED))
                return None
            version = self._models.add_version(connection, job.model.model, manifest)
            move(
                connection,
                job_id,
                StateChanged(State.SUCCEEDED, model=str(version.name)),
                version=version.name.number,
                stages=[stage_to_json(stage) for stage in stages],
                metrics=figures_to_json(metrics),
            )
            return version.name

    def fail(self, job: Job, error: str) -> None:
        """Ends the worker's job without a version, because of `error`.

        Raises:
            AbortedError: the job is another worker's, or has ended.
        """
        with self._engine.begin() as connection:
            job_id, _ = self._held(connection, job)
            move(connection, job_id, StateChanged(State.FAILED, error))

    def give_back(self, job: Job) -> None:
        """Ends the lease: the job waits for another worker or, where it was to be cancelled, has stopped.

        Raises:
            AbortedError: the job is another worker's, or has ended.
        """
        with self._engine.begin() as connection:
            job_id, _ = self._held(connection, job)
            release(connection, jobs.c.id == job_id, crashed=False)

    def release_all(self) -> list[JobName]:
        """Takes every job from its worker: at the server's start, when no worker of an earlier one lives."""
        with self._engine.begin() as connection:
            return [JobName(name) for name in release(connection, true(), crashed=False)]

    def release_dead(self, owner: str, *, crashed: bool) -> list[JobName]:
        """Takes its jobs from a worker that died: `crashed`, or killed because the server stops."""
        with self._engine.begin() as connection:
            return [JobName(name) for name in release(connection, jobs.c.lease_owner == owner, crashed=crashed)]

    def expired_owners(self) -> set[str]:
        """Returns the workers that have a job and have not extended its lease in time."""
        query = select(jobs.c.lease_owner).where(jobs.c.lease_owner.is_not(None), jobs.c.lease_expires < now())
        with reading(self._engine) as connection:
            return set(connection.execute(query).scalars())

    def _held(self, connection: Connection, job: Job) -> tuple[int, State]:
        query = select(jobs.c.id, jobs.c.state).where(
            jobs.c.name == job.name.job,
            jobs.c.lease_epoch == job.lease_epoch,
            jobs.c.state.in_([State.RUNNING, State.CANCELLING]),
        )
        row = connection.execute(query.with_for_update()).first()
        if row is None:
            raise AbortedError(f"{job.name} is not this worker's any more")
        return row.id, State(row.state)
