"""History: what a job's stages have come to, told from its events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from frostline_server.jobs.records import JobEvent
from frostline_server.training.events import EpochEnded, Filled, StageResult, StageStarted


def stages_from(events: Iterable[JobEvent]) -> list[StageResult]:
    """Returns what the stages have come to by the last of `events`, which start with the job's first.

    A job that was taken up again repeats the epochs after its checkpoint: an epoch replaces the one of its number and
    what followed that one.
    """
    stages: dict[int, StageResult] = {}
    began: dict[int, datetime] = {}
    seconds: dict[int, list[float]] = {}
    for happened in events:
        event = happened.event
        if isinstance(event, StageStarted):
            stage = StageResult(event.frozen_layer_count, event.trainable_parameter_count, plan=event.plan)
            stages.setdefault(event.stage, stage)
            began[event.stage] = happened.time
        elif isinstance(event, Filled) and event.stage in stages:
            stage = stages[event.stage]
            stage.rows_computed, stage.rows_reused = event.computed, event.done - event.computed
            stage.fill_seconds = (happened.time - began[event.stage]).total_seconds()
        elif isinstance(event, EpochEnded) and event.stage in stages:
            stage = stages[event.stage]
            for name, value in event.metrics.items():
                stage.history.setdefault(name, [])[event.epoch :] = [value]
            seconds.setdefault(event.stage, [])[event.epoch :] = [event.seconds]
            stage.epochs_run, stage.train_seconds = event.epoch + 1, sum(seconds[event.stage])
    return [stages[number] for number in sorted(stages)]
