"""How a job that runs is shown where there is no terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from frostline_client.cli import watching
from frostline_client.cli.output import Duration, Size
from frostline_client.events import Filled, StageStarted
from frostline_client.plans import StagePlan

START = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = StagePlan(("h1",), 3, "store", ("h1",), "float32", 1, 200, 800, 4000, 1.0, 9.0, "storing h1 saves 8 s")


def filled(seconds: float, done: int, computed: int, stage: int = 0) -> Filled:
    return Filled(1, START + timedelta(seconds=seconds), stage, done, 1000, computed)


def lines(capsys: pytest.CaptureFixture[str], *events: Filled | StageStarted) -> list[str]:
    watching.watch("a", events)
    return capsys.readouterr().err.splitlines()


def test_filling_is_shown_with_its_rate_and_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(capsys, filled(0, 200, 0), filled(2, 400, 200))
    assert shown == ["stage 1: 400 of 1,000 features, 200 computed, 100 rows/s, 6 s left"]


def test_rows_that_were_there_take_no_part_in_the_rate(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, filled(5, 1000, 0)) == ["stage 1: 1,000 of 1,000 features, 0 computed"]


def test_each_filling_has_its_own_rate(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(capsys, filled(0, 0, 0), filled(1, 1000, 1000), filled(100, 0, 0, 1), filled(110, 500, 500, 1))
    assert shown[-1] == "stage 2: 500 of 1,000 features, 500 computed, 50 rows/s, 10 s left"


def test_a_stage_starts_with_the_reason_of_its_plan(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(capsys, StageStarted(1, START, 0, 5, 3, 42, PLAN))
    assert shown == ["stage 1: 3 layers are frozen, 42 parameters train", "stage 1: storing h1 saves 8 s"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0 s"), (0.0123, "12 ms"), (-0.5, "-500 ms"), (0.99951, "1 s"), (4.256, "4.26 s")),
        *((200, "3 min 20 s"), (-250, "-4 min 10 s"), (7265, "2 h 1 min")),
    ],
)
def test_times_are_written_as_people_read_them(seconds: float, text: str) -> None:
    assert str(Duration(seconds)) == text


def test_sizes_are_written_as_people_read_them() -> None:
    assert [str(Size(count)) for count in (0, 999, 1500, 10**9)] == ["0 B", "999 B", "1.5 kB", "1 GB"]
