"""History: what a job's stages have come to, told from its events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from frostline_server.jobs.records import JobEvent
from frostline_server.training.events import EpochEnded, Filled, StageResult, StageStarted


def stages_from(events: Iterable[JobEvent]) -> list[StageResult]:
    """Returns what the stages have come to by the last of `events`, which start with the job's first.

    A job that was taken up again repeats the epochs after its checkpoint: an epoch replaces the one of its number and
    what followed that one. A stage keeps the plan that its first epoch was run by, and of the rows that it finds then,
    those that it computed before are its own.
    """
    stages: dict[int, StageResult] = {}
    own: dict[int, int] = {}
    began: dict[int, datetime] = {}
    seconds: dict[int, list[float]] = {}
    for happened in events:
        event = happened.event
        if isinstance(event, StageStarted):
            stage = StageResult(event.frozen_layer_count, event.trainable_parameter_count, plan=event.plan)
            if event.stage not in stages or not stages[event.stage].epochs_run:
                stages[event.stage] = stage
            own[event.stage] = stages[event.stage].rows_computed
            began[event.stage] = happened.time
        elif isinstance(event, Filled) and event.stage in stages:
            stage = stages[event.stage]
            stage.rows_computed = own[event.stage] + event.computed
            stage.rows_reused = max(0, event.done - event.computed - own[event.stage])
            if stage.plan is not None and stage.plan.kept != "nowhere":
                stage.feature_bytes = stage.plan.size_bytes * event.done // max(1, event.total)
            stage.fill_seconds = (happened.time - began[event.stage]).total_seconds()
        elif isinstance(event, EpochEnded) and event.stage in stages:
            stage = stages[event.stage]
            for name, value in event.metrics.items():
                stage.history.setdefault(name, [])[event.epoch :] = [value]
            seconds.setdefault(event.stage, [])[event.epoch :] = [event.seconds]
            stage.epochs_run, stage.train_seconds = event.epoch + 1, sum(seconds[event.stage])
    return [stages[number] for number in sorted(stages)]
