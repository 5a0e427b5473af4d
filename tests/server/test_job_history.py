"""History: what stages have come to, told from the events of a job that was stopped and taken up again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from frostline_server.jobs.history import stages_from
from frostline_server.jobs.records import JobEvent
from frostline_server.training.events import EpochEnded, Filled, StageResult, StageStarted
from frostline_server.training.plan import StagePlan


def plan(present: int, missing: int, kept: str = "store") -> StagePlan:
    return StagePlan(("h",), 1, kept, ("h",), "float32", 0, present, missing, 16_000, 1.0, 2.0, "")


def told(*events: Any) -> StageResult:
    when = datetime.now(UTC)
    (stage,) = stages_from(JobEvent(number, when, event) for number, event in enumerate(events, start=1))
    return stage


def test_rows_that_are_kept_have_a_size_while_the_stage_fills() -> None:
    start = StageStarted(0, 9, 1, 10, plan(0, 1000))
    assert told(start, Filled(0, 250, 1000, 250)).feature_bytes == 4000
    assert told(start, Filled(0, 1000, 1000, 1000)).feature_bytes == 16_000
    nowhere = StageStarted(0, 9, 1, 10, plan(0, 1000, "nowhere"))
    assert told(nowhere, Filled(0, 250, 1000, 250)).feature_bytes == 0


def test_a_stage_that_goes_on_keeps_its_first_plan_and_its_own_rows() -> None:
    first = [StageStarted(0, 9, 1, 10, plan(0, 1000)), Filled(0, 1000, 1000, 1000), EpochEnded(0, 0, {}, 1.0)]
    stage = told(*first, StageStarted(0, 9, 1, 10, plan(1000, 0)), Filled(0, 1000, 1000, 0))
    assert stage.plan == plan(0, 1000)
    assert (stage.rows_computed, stage.rows_reused) == (1000, 0)


def test_a_stage_that_was_stopped_before_its_first_epoch_begins_anew() -> None:
    first = [StageStarted(0, 9, 1, 10, plan(0, 1000)), Filled(0, 400, 1000, 400)]
    stage = told(*first, StageStarted(0, 9, 1, 10, plan(400, 600)), Filled(0, 1000, 1000, 600))
    assert stage.plan == plan(400, 600)
    assert (stage.rows_computed, stage.rows_reused) == (600, 400)
