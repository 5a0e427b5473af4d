"""Transitions: every change of a job's state, and every event, is written here, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update

from frostline_server.jobs.records import State, StateChanged, event_to_row
from frostline_server.training.events import Event
from frostline_zoo.catalogue.database import now
from frostline_zoo.catalogue.tables import job_events, jobs

CRASHES_ALLOWED = 3
"""How often a job's worker may die under it before the job is taken for the cause."""


def append(connection: Connection, job_id: int, events: Sequence[tuple[datetime, Event | StateChanged]]) -> None:
    """Writes events behind those that the job has."""
    if not events:
        return
    counted = update(jobs).where(jobs.c.id == job_id).values(last_sequence=jobs.c.last_sequence + len(events))
    last = connection.execute(counted.returning(jobs.c.last_sequence)).scalar_one()
    rows = []
    for sequence, (time, event) in enumerate(events, last - len(events) + 1):
        kind, payload = event_to_row(event)
        rows.append({"job_id": job_id, "sequence": sequence, "time": time, "kind": kind, "payload": payload})
    connection.execute(insert(job_events), rows)


def move(connection: Connection, job_id: int, change: StateChanged, **columns: Any) -> None:
    """Gives a job another state, and tells it."""
    time = now()
    values: dict[str, Any] = {"state": change.state, "error": change.error, **columns}
    if change.state.ended:
        values["ended"] = time
    if change.state not in (State.RUNNING, State.CANCELLING):
        values |= {"lease_owner": None, "lease_expires": None}
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))
    append(connection, job_id, [(time, change)])


def release(connection: Connection, which: ColumnElement[bool], *, crashed: bool) -> list[str]:
    """Takes the jobs of `which` from their workers; returns their names.

    They wait for another worker; a job that was to be cancelled has now stopped. Where the worker has `crashed` under
    a job once too often, the job fails, or it would take every worker down for ever.
    """
    held = select(jobs.c.id, jobs.c.name, jobs.c.state, jobs.c.crash_count)
    held = held.where(jobs.c.state.in_([State.RUNNING, State.CANCELLING]), which)
    rows = connection.execute(held).all()
    for row in rows:
        crashes = row.crash_count + crashed
        if row.state == State.CANCELLING:
            change = StateChanged(State.CANCELLED)
        elif crashes >= CRASHES_ALLOWED:
            change = StateChanged(State.FAILED, _died(row.name))
        else:
            change = StateChanged(State.PENDING)
        move(connection, row.id, change, crash_count=crashes)
    return [row.name for row in rows]


def _died(name: str) -> str:
    return (
        f"the worker died {CRASHES_ALLOWED} times while it ran jobs/{name}, perhaps for want of memory: "
        "give the server more, or the job smaller batches, and resume it"
    )
