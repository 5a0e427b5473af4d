"""What unfinished jobs use, and thereby keep from being deleted."""

from __future__ import annotations

from sqlalchemy import Connection, select

from frostline_zoo.catalogue.tables import job_uses, jobs
from frostline_zoo.errors import FailedPreconditionError

UNFINISHED = ("PENDING", "RUNNING", "CANCELLING")


def refuse_where_used(connection: Connection, resource: str) -> None:
    """Refuses to go on where an unfinished job uses `resource`: `models/{model}` or `datasets/{dataset}`.

    Raises:
        FailedPreconditionError: one does; the message names it.
    """
    user = connection.scalar(
        select(jobs.c.name)
        .join(job_uses, job_uses.c.job_id == jobs.c.id)
        .where(job_uses.c.resource == resource)
        .where(jobs.c.state.in_(UNFINISHED))
        .limit(1)
    )
    if user is not None:
        message = f"{resource} is used by jobs/{user}: wait until that job ends, or cancel it"
        raise FailedPreconditionError(message, reason="IN_USE", name=resource, job=f"jobs/{user}")
