"""What happens to a job, in order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from frostline.v1 import job_service_pb2 as pb
from frostline_client.names import short_name
from frostline_client.plans import StagePlan
from frostline_client.records import time_of
from frostline_client.wording import worded


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        sequence: its place among the job's events: 1, 2, 3, ...
    """

    sequence: int
    time: datetime | None


@dataclass(frozen=True)
class StateChanged(Event):
    """The job is in another state: `error` says why it failed, `model` (NAME@NUMBER) what it made."""

    state: str
    error: str
    model: str


@dataclass(frozen=True)
class StageStarted(Event):
    """Stage `stage` (from 0) begins, of at most `epochs` epochs, and does about its features what `plan` says."""

    stage: int
    epochs: int
    frozen_layer_count: int
    trainable_parameter_count: int
    plan: StagePlan | None


@dataclass(frozen=True)
class Filled(Event):
    """`done` of the `total` rows that stage `stage` needs are there; the trunk computed `computed` of them."""

    stage: int
    done: int
    total: int
    computed: int


@dataclass(frozen=True)
class EpochEnded(Event):
    """Epoch `epoch` (from 0) of stage `stage` took `seconds` and gave `metrics`, by Keras's names."""

    stage: int
    epoch: int
    metrics: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class Noted(Event):
    """A line for people, such as a warning."""

    text: str


def event_of(message: pb.JobEvent) -> Event:
    """Reads the wire's form. A kind that is not known here is a plain Event."""
    at = message.sequence, time_of(message.time)
    match message.WhichOneof("event"):
        case "state_change":
            change = message.state_change
            return StateChanged(*at, state_of(change.state), worded(change.error), short_name(change.model))
        case "stage_start":
            start = message.stage_start
            return StageStarted(
                *at,
                start.stage,
                start.epochs,
                start.frozen_layer_count,
                start.trainable_parameter_count,
                StagePlan.of(start.plan) if start.HasField("plan") else None,
            )
        case "fill_progress":
            fill = message.fill_progress
            return Filled(*at, fill.stage, fill.done, fill.total, fill.computed)
        case "epoch_end":
            epoch = message.epoch_end
            return EpochEnded(*at, epoch.stage, epoch.epoch, dict(sorted(epoch.metrics.items())), epoch.seconds)
        case "note":
            return Noted(*at, worded(message.note))
    return Event(*at)


def state_of(state: int) -> str:
    """Returns PENDING, RUNNING, CANCELLING, SUCCEEDED, FAILED or CANCELLED."""
    return str(pb.Job.State.Name(state)).removeprefix("STATE_")
