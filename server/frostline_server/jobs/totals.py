"""Totals: what all jobs together came to, read so that asking often costs little."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, func, select

from frostline_server.jobs.records import State, stage_from_json
from frostline_server.training.events import StageResult
from frostline_zoo.catalogue.database import reading
from frostline_zoo.catalogue.tables import jobs

JOBS_AT_ONCE = 500


@dataclass(frozen=True)
class StageTotals:
    """Sums over the stages of all jobs that have succeeded."""

    rows_computed: int = 0
    rows_reused: int = 0
    seconds_saved: float = 0.0
    train_seconds: float = 0.0
    fill_seconds: float = 0.0

    def plus(self, stage: StageResult) -> StageTotals:
        """Returns the sums with one stage more."""
        return StageTotals(
            self.rows_computed + stage.rows_computed,
            self.rows_reused + stage.rows_reused,
            self.seconds_saved + stage.seconds_saved,
            self.train_seconds + stage.train_seconds,
            self.fill_seconds + stage.fill_seconds,
        )


class Totals:
    """What the jobs came to. A job that has succeeded never changes again, so each is read once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._counting = threading.Lock()
        self._counted: set[int] = set()
        self._totals = StageTotals()

    def states(self) -> dict[State, int]:
        """Returns how many jobs are in each state."""
        query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
        with reading(self._engine) as connection:
            counts = {State(state): count for state, count in connection.execute(query)}
        return {state: counts.get(state, 0) for state in State}

    def stages(self) -> StageTotals:
        """Returns the sums over all stages."""
        with self._counting, reading(self._engine) as connection:
            succeeded = select(jobs.c.id).where(jobs.c.state == State.SUCCEEDED)
            new = sorted(set(connection.execute(succeeded).scalars()) - self._counted)
            for start in range(0, len(new), JOBS_AT_ONCE):
                self._count(connection, new[start : start + JOBS_AT_ONCE])
            return self._totals

    def _count(self, connection: Connection, new: list[int]) -> None:
        for stages in connection.execute(select(jobs.c.stages).where(jobs.c.id.in_(new))).scalars():
            for stage in stages:
                self._totals = self._totals.plus(stage_from_json(stage))
        self._counted.update(new)
