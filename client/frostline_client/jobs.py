"""Jobs: submitted training work. A job answers like a Future: `done`, `result`, `cancel`."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from frostline.v1 import job_service_pb2 as pb
from frostline.v1.job_service_pb2_grpc import JobServiceStub
from frostline_client import names
from frostline_client.channel import Channel
from frostline_client.errors import DeadlineError, JobFailedError, UnavailableError
from frostline_client.events import Event, event_of, state_of
from frostline_client.pages import every_page
from frostline_client.patience import Patience
from frostline_client.plans import StagePlan
from frostline_client.recipes import to_json
from frostline_client.records import Version, time_of
from frostline_client.wording import worded

ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass(frozen=True)
class FeatureUse:
    """What became of a stage's features: rows that the trunk computed, rows that were there, and the bytes kept."""

    computed: int
    reused: int
    bytes: int


@dataclass(frozen=True)
class Stage:
    """What a stage came to.

    Attributes:
        train_seconds: the time its epochs took, validation included and filling features not.
        fill_seconds: the time filling its features took.
        history: one series a metric, one value an epoch.
        best_epoch: the epoch whose weights were kept, from 0; None: the last one's.
        plan: what was planned about its features; None where nothing was.
        seconds_saved: what keeping features saved, against computing every row in every epoch.
    """

    epochs_run: int
    train_seconds: float
    fill_seconds: float
    features: FeatureUse
    history: dict[str, list[float]]
    best_epoch: int | None
    frozen_layer_count: int
    trainable_parameter_count: int
    plan: StagePlan | None
    seconds_saved: float

    @classmethod
    def of(cls, message: pb.StageResult) -> Self:
        """Reads the wire's form."""
        return cls(
            epochs_run=message.epochs_run,
            train_seconds=message.train_seconds,
            fill_seconds=message.fill_seconds,
            features=FeatureUse(message.features.computed, message.features.reused, message.features.bytes),
            history={name: list(series.values) for name, series in sorted(message.history.items())},
            best_epoch=message.best_epoch if message.best_epoch >= 0 else None,
            frozen_layer_count=message.frozen_layer_count,
            trainable_parameter_count=message.trainable_parameter_count,
            plan=StagePlan.of(message.plan) if message.HasField("plan") else None,
            seconds_saved=message.seconds_saved,
        )


@dataclass(frozen=True)
class JobRecord:
    """A job as it was when it was read.

    Attributes:
        name: the job's id.
        state: PENDING, RUNNING, CANCELLING, SUCCEEDED, FAILED or CANCELLED.
        model: NAME@NUMBER of the version that it made; until then NAME.
        metrics: the final figures of the network that it made.
        stages: as far as they have started.
        error: why it failed, in one line, or empty.
        attempt: how often a worker has taken it up.
        last_sequence: the sequence number of its last event.
        recipe: as submitted, its base and datasets pinned to versions; empty in lists.
    """

    name: str
    state: str
    model: str
    metrics: dict[str, float]
    stages: tuple[Stage, ...]
    error: str
    attempt: int
    last_sequence: int
    create_time: datetime | None
    start_time: datetime | None
    end_time: datetime | None
    recipe: dict[str, Any]

    @classmethod
    def of(cls, message: pb.Job) -> Self:
        """Reads the wire's form."""
        return cls(
            name=names.short_name(message.name),
            state=state_of(message.state),
            model=names.short_name(message.model),
            metrics=dict(sorted(message.metrics.items())),
            stages=tuple(Stage.of(stage) for stage in message.stages),
            error=worded(message.error),
            attempt=message.attempt,
            last_sequence=message.last_sequence,
            create_time=time_of(message.create_time),
            start_time=time_of(message.start_time),
            end_time=time_of(message.end_time),
            recipe=json.loads(message.recipe) if message.recipe else {},
        )


class Job:
    """One job. What it tells is read from the server each time, until the job has ended."""

    def __init__(self, stub: Any, record: JobRecord, version: Callable[[str], Version]) -> None:
        self._stub = stub
        self._record = record
        self._version = version
        self.name = record.name

    def record(self) -> JobRecord:
        """Returns all that the server tells about the job."""
        if self._record.state not in ENDED:
            self._record = JobRecord.of(self._stub.GetJob(pb.GetJobRequest(name=names.job_name(self.name))))
        return self._record

    @property
    def state(self) -> str:
        """PENDING, RUNNING, CANCELLING, SUCCEEDED, FAILED or CANCELLED."""
        return self.record().state

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages, as far as they have started, with their histories."""
        return self.record().stages

    @property
    def metrics(self) -> dict[str, float]:
        """The final figures of the network that it made."""
        return self.record().metrics

    def done(self) -> bool:
        """Returns whether the job has ended, in whatever way."""
        return self.state in ENDED

    def result(self, timeout: float | None = None) -> Version:
        """Waits for the job's end, `timeout` seconds at the most, and returns the version that it made.

        Raises:
            JobFailedError: it ended without one; the message says why.
            DeadlineError: it has not ended in time. It goes on.
        """
        record = self.record()
        if record.state not in ENDED:
            for _ in self.watch(after=record.last_sequence, timeout=timeout):
                pass
            record = self.record()
        if record.state != "SUCCEEDED":
            why = record.error or f"it was cancelled: go on with frostline jobs resume {self.name}"
            raise JobFailedError(
                f"job {self.name} made no model: {why}",
                reason=record.state,
                metadata={"job": self.name, "state": record.state},
            )
        return self._version(record.model)

    def watch(self, *, after: int = 0, timeout: float | None = None) -> Iterator[Event]:
        """Yields the job's events in order: first those that happened, then those that happen, up to its end.

        It goes on by itself after a broken connection or a restart of the server. Ending it does not end the job.

        Args:
            after: the sequence number of the last event seen.
            timeout: how long to watch in all, in seconds.

        Raises:
            DeadlineError: the job has not ended in time.
            UnavailableError: the server has been away for a minute.
        """
        patience = Patience()
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            request = pb.WatchJobRequest(name=names.job_name(self.name), after_sequence=after)
            try:
                with self._stub.WatchJob(request, timeout=remaining) as messages:
                    for message in messages:
                        patience.progressed()
                        after = message.sequence
                        yield event_of(message)
                return
            except UnavailableError as error:
                if deadline is not None and time.monotonic() >= deadline:
                    raise self._not_ended(timeout) from None
                patience.wait(error, until=deadline)
            except DeadlineError:
                raise self._not_ended(timeout) from None

    def cancel(self) -> None:
        """Asks the job to stop. It makes no model; `resume` takes it up again.

        Raises:
            FailedPreconditionError: it has ended.
        """
        self._record = JobRecord.of(self._stub.CancelJob(pb.CancelJobRequest(name=names.job_name(self.name))))

    def resume(self) -> None:
        """Takes a failed or cancelled job up again, where its last checkpoint stands.

        Raises:
            FailedPreconditionError: it has not failed and was not cancelled.
        """
        self._record = JobRecord.of(self._stub.ResumeJob(pb.ResumeJobRequest(name=names.job_name(self.name))))

    def _not_ended(self, timeout: float | None) -> DeadlineError:
        return DeadlineError(f"job {self.name} has not ended within {timeout:g} seconds: it goes on")

    def __repr__(self) -> str:
        return f"Job({self.name!r})"


class Jobs:
    """The jobs of a server."""

    def __init__(self, channel: Channel, version: Callable[[str], Version]) -> None:
        self._stub: Any = JobServiceStub(channel)
        self._version = version

    def submit(self, recipe: Mapping[str, Any], *, request_id: str | None = None) -> Job:
        """Submits a recipe. docs/recipes.md describes it; `recipes.read_recipe` reads one from a file.

        Args:
            request_id: a UUID; submitting again with the same one answers with the same job.

        Raises:
            InvalidError: the recipe is malformed or does not fit the zoo; the message names the key.
            NotFoundError: the zoo holds no such base or dataset.
            AlreadyExistsError: the request id was used for another recipe.
        """
        request = pb.CreateJobRequest(recipe=to_json(recipe), request_id=request_id or str(uuid.uuid4()))
        return self._job(self._stub.CreateJob(request))

    def plan(self, recipe: Mapping[str, Any]) -> tuple[StagePlan, ...]:
        """Returns what each stage of a recipe would do about its features, and why. Nothing is submitted.

        Raises:
            InvalidError, NotFoundError: as `submit`.
        """
        response = self._stub.PlanJob(pb.PlanJobRequest(recipe=to_json(recipe)))
        return tuple(StagePlan.of(plan) for plan in response.plans)

    def list(self) -> tuple[JobRecord, ...]:
        """Returns the jobs, the newest first, without recipes and histories."""
        return tuple(JobRecord.of(job) for job in every_page(self._stub.ListJobs, pb.ListJobsRequest(), "jobs"))

    def get(self, name: str) -> Job:
        """Returns the job of that id.

        Raises:
            NotFoundError: there is no such job.
        """
        return self._job(self._stub.GetJob(pb.GetJobRequest(name=names.job_name(name))))

    def _job(self, message: pb.Job) -> Job:
        return Job(self._stub, JobRecord.of(message), self._version)
