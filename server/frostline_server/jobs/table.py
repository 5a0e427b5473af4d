"""The table of jobs, as those see it who submit, watch and cancel them."""

from __future__ import annotations

import secrets
import string
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select

from frostline_server.jobs.history import stages_from
from frostline_server.jobs.records import Job, JobEvent, State, StateChanged, event_from_row, job_from_row
from frostline_server.jobs.transitions import append, move
from frostline_server.training.events import StageResult
from frostline_server.training.recipe import Recipe
from frostline_zoo.catalogue.database import now, reading
from frostline_zoo.catalogue.pages import read_page
from frostline_zoo.catalogue.requests import answered, once
from frostline_zoo.catalogue.tables import job_events, job_uses, jobs
from frostline_zoo.digests import digest_of
from frostline_zoo.errors import FailedPreconditionError, NotFoundError
from frostline_zoo.names import DatasetName, JobName, ModelName, parse_dataset_reference, parse_model_reference

EVENTS_AT_ONCE = 1000
_CREATE = "CreateJob"


class Jobs:
    """Every job that was submitted. What a method answered is durable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, text: str, request_id: str = "", *, submitted: str | None = None) -> Job:
        """Submits the recipe `text`, JSON. Where `request_id` came before, that job is returned.

        Args:
            text: the recipe that the job runs.
            request_id: a UUID, or empty.
            submitted: the recipe as it came, where `text` is what it was made into.

        Raises:
            InvalidError: the text is not a recipe, or the id not a UUID.
            AlreadyExistsError: the id was used for another recipe.
        """
        recipe = Recipe.parse(text)
        with self._engine.begin() as connection:
            name = once(
                connection,
                _CREATE,
                request_id,
                digest_of((submitted or text).encode()),
                lambda: _insert(connection, recipe, text),
            )
            return job_from_row(_row(connection, JobName(name.decode())))

    def created(self, text: str, request_id: str) -> Job | None:
        """Returns the job that was submitted with `request_id`, or None.

        Raises:
            InvalidError: the id is not a UUID.
            AlreadyExistsError: the id was used for another recipe.
        """
        with reading(self._engine) as connection:
            name = answered(connection, _CREATE, request_id, digest_of(text.encode()))
            return job_from_row(_row(connection, JobName(name.decode()))) if name else None

    def news(self, name: JobName, after: int, limit: int = EVENTS_AT_ONCE) -> tuple[Job, list[JobEvent]]:
        """Returns one job and the first of its events after sequence number `after`, read at the same moment.

        Raises:
            NotFoundError: there is no such job.
        """
        with reading(self._engine) as connection:
            row = _row(connection, name)
            query = select(job_events).where(job_events.c.job_id == row.id, job_events.c.sequence > after)
            events = connection.execute(query.order_by(job_events.c.sequence).limit(limit)).all()
        return job_from_row(row), [event_from_row(event) for event in events]

    def history(self, name: JobName) -> tuple[Job, list[StageResult]]:
        """Returns one job, and what its stages have come to so far.

        Raises:
            NotFoundError: there is no such job.
        """
        with reading(self._engine) as connection:
            row = _row(connection, name)
            if row.state == State.SUCCEEDED:
                return (job := job_from_row(row)), job.stages
            query = select(job_events).where(job_events.c.job_id == row.id).order_by(job_events.c.sequence)
            return job_from_row(row), stages_from(map(event_from_row, connection.execute(query)))

    def cancel(self, name: JobName) -> Job:
        """Asks a job to stop: a pending one has then ended, a running one ends when its worker has stopped.

        Raises:
            NotFoundError: there is no such job.
            FailedPreconditionError: it has ended.
        """
        with self._engine.begin() as connection:
            row = _row(connection, name)
            if State(row.state).ended:
                raise FailedPreconditionError(
                    f"{name} has ended as {row.state}: only an unfinished job can be cancelled"
                )
            if row.state == State.PENDING:
                move(connection, row.id, StateChanged(State.CANCELLED))
            elif row.state == State.RUNNING:
                move(connection, row.id, StateChanged(State.CANCELLING))
            return job_from_row(_row(connection, name))

    def resume(self, name: JobName) -> Job:
        """Puts a job that failed or was cancelled back to where workers find it.

        Raises:
            NotFoundError: there is no such job.
            FailedPreconditionError: it is neither FAILED nor CANCELLED.
        """
        with self._engine.begin() as connection:
            row = _row(connection, name)
            if row.state not in (State.FAILED, State.CANCELLED):
                raise FailedPreconditionError(f"{name} is {row.state}: only a FAILED or CANCELLED job can be resumed")
            move(connection, row.id, StateChanged(State.PENDING), ended=None, crash_count=0)
            return job_from_row(_row(connection, name))

    def list_jobs(self, page_size: int = 0, page_token: str = "") -> tuple[list[Job], str]:
        """Returns a page of jobs, the newest first, and the next page's token. Raises InvalidError as `read_page`."""
        with reading(self._engine) as connection:
            rows, token = read_page(
                connection,
                select(jobs),
                jobs.c.id,
                of="jobs",
                page_size=page_size,
                page_token=page_token,
                newest_first=True,
            )
        return [job_from_row(row) for row in rows], token


def _row(connection: Connection, name: JobName) -> Row[Any]:
    row = connection.execute(select(jobs).where(jobs.c.name == name.job)).first()
    if row is None:
        raise NotFoundError(f"no {name}: see the jobs there are", reason="JOB_NOT_FOUND", name=str(name))
    return row


def _insert(connection: Connection, recipe: Recipe, text: str) -> bytes:
    """Inserts a job, and what it keeps from being deleted while it is unfinished; returns its id."""
    name = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(12))
    values = {"name": name, "state": State.PENDING, "recipe": text, "model": recipe.name, "created": now()}
    job_id = connection.execute(insert(jobs).values(values).returning(jobs.c.id)).scalar_one()
    datasets = [recipe.data.train, *filter(None, [recipe.data.validation])]
    resources = {str(DatasetName(parse_dataset_reference(dataset).dataset)) for dataset in datasets}
    if recipe.base:
        resources.add(str(ModelName(parse_model_reference(recipe.base).model)))
    connection.execute(insert(job_uses), [{"job_id": job_id, "resource": resource} for resource in sorted(resources)])
    append(connection, job_id, [(now(), StateChanged(State.PENDING))])
    return name.encode()
