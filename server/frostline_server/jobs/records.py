"""Records: a job and its events, as they are read from the tables and written to them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row

from frostline_server.training.events import (
    EpochEnded,
    Event,
    Filled,
    Noted,
    StageResult,
    StageStarted,
    plan_from_json,
)
from frostline_zoo.names import JobName, ModelName, VersionName


class State(StrEnum):
    """Where a job stands."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        """Whether no worker will change it any more."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class StateChanged:
    """The job is now in `state`: because of `error` where it failed, with version `model` where it succeeded."""

    state: State
    error: str = ""
    model: str = ""


@dataclass(frozen=True)
class JobEvent:
    """Something that happened to a job; `sequence` is 1, 2, 3, ... within it."""

    sequence: int
    time: datetime
    event: Event | StateChanged


@dataclass(frozen=True)
class Job:
    """Submitted work.

    Attributes:
        recipe: JSON text, as submitted.
        model: the version that it made; until then the model that the result becomes.
        stages: what its stages came to; empty until it has succeeded.
        metrics: the final figures of the network that it made.
        error: why it failed, in one line.
        attempt: how often a worker has taken it up.
        lease_epoch: counts the workers that had it; what an earlier one writes is refused.
        crash_count: how often its worker died under it, since it was submitted or resumed.
    """

    name: JobName
    state: State
    recipe: str
    model: ModelName | VersionName
    stages: list[StageResult]
    metrics: dict[str, float]
    error: str
    attempt: int
    lease_epoch: int
    crash_count: int
    last_sequence: int
    created: datetime
    started: datetime | None
    ended: datetime | None


_KINDS: dict[str, type[Any]] = {
    "state_changed": StateChanged,
    "stage_started": StageStarted,
    "filled": Filled,
    "epoch_ended": EpochEnded,
    "noted": Noted,
}
_KIND_OF = {kind_class: kind for kind, kind_class in _KINDS.items()}


def event_to_row(event: Event | StateChanged) -> tuple[str, dict[str, Any]]:
    """Returns an event's kind and its JSON."""
    payload = asdict(event)
    if isinstance(event, EpochEnded):
        payload["metrics"] = figures_to_json(event.metrics)
    return _KIND_OF[type(event)], payload


def event_from_row(row: Row[Any]) -> JobEvent:
    """Reads a row of `job_events`."""
    payload = dict(row.payload)
    if row.kind == "state_changed":
        payload["state"] = State(payload["state"])
    if row.kind == "stage_started" and payload.get("plan"):
        payload["plan"] = plan_from_json(payload["plan"])
    if row.kind == "epoch_ended":
        payload["metrics"] = figures_from_json(payload["metrics"])
    return JobEvent(row.sequence, row.time, _KINDS[row.kind](**payload))


def job_from_row(row: Row[Any]) -> Job:
    """Reads a row of `jobs`."""
    return Job(
        JobName(row.name),
        State(row.state),
        row.recipe,
        ModelName(row.model) if row.version is None else VersionName(row.model, row.version),
        [stage_from_json(stage) for stage in row.stages],
        figures_from_json(row.metrics),
        row.error,
        row.attempt,
        row.lease_epoch,
        row.crash_count,
        row.last_sequence,
        row.created,
        row.started,
        row.ended,
    )


def stage_to_json(stage: StageResult) -> dict[str, Any]:
    """Returns a stage's JSON."""
    history = {name: [_number_to_json(value) for value in series] for name, series in stage.history.items()}
    return {**asdict(stage), "history": history}


def stage_from_json(value: dict[str, Any]) -> StageResult:
    """Reads a stage's JSON."""
    history = {name: [float(number) for number in series] for name, series in value["history"].items()}
    return StageResult.from_json({**value, "history": history})


def figures_to_json(figures: dict[str, float]) -> dict[str, Any]:
    """Returns metrics' JSON."""
    return {name: _number_to_json(value) for name, value in figures.items()}


def figures_from_json(value: dict[str, Any]) -> dict[str, float]:
    """Reads metrics' JSON."""
    return {name: float(number) for name, number in value.items()}


def _number_to_json(value: float) -> float | str:
    """A loss that ran away is NaN or infinite, which JSON has no numbers for: those become "nan", "inf" and "-inf"."""
    number = float(value)
    return number if math.isfinite(number) else str(number)
