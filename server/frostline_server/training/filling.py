"""Filling a stage's features as its plan says, with those that later stages need in the same pass over the examples."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from frostline_server.features.features import Features
from frostline_server.features.sources import Listener
from frostline_server.training.events import Event, Filled, Noted, StageResult
from frostline_server.training.frozen import Frozen, Level, Part, chain_of
from frostline_server.training.planner import Planned
from frostline_server.training.prepare import Prepared
from frostline_server.training.recipe import Recipe
from frostline_server.training.room import fits_memory
from frostline_server.training.stage import StageExamples
from frostline_server.training.zoo import ZooAccess
from frostline_zoo.graph import Cut


class Cancelled(Exception):  # noqa: N818 (not an error: somebody asked for it)
    """The job was asked to stop, and has."""


class StageListener(Listener):
    """Tells how a stage's features fill."""

    def __init__(self, stage: int, tell: Callable[[Event], None], is_cancelled: Callable[[], bool]) -> None:
        self._stage = stage
        self._tell = tell
        self._is_cancelled = is_cancelled
        self._done = self._computed = self._total = 0

    def expect(self, total: int) -> None:
        """Begins anew, with `total` rows to come."""
        self._done, self._computed, self._total = 0, 0, total

    def filled(self, rows: int, computed: int) -> None:
        """Counts rows that are there now; raises Cancelled where the job is to stop."""
        self.check()
        if rows:
            self._done, self._computed = self._done + rows, self._computed + computed
            self._total = max(self._total, self._done)
            self._tell(Filled(self._stage, self._done, self._total, self._computed))

    def note(self, text: str) -> None:
        """Passes on a line for people."""
        self._tell(Noted(text))

    def check(self) -> None:
        """Raises Cancelled where the job is to stop."""
        if self._is_cancelled():
            raise Cancelled


class Filling:
    """The features of one stage, filled and counted."""

    def __init__(
        self,
        recipe: Recipe,
        prepared: Prepared,
        frozen: Frozen,
        zoo: ZooAccess,
        listener: StageListener,
        result: StageResult,
        others: Sequence[Cut],
    ) -> None:
        """`others` are cuts of jobs that wait, filled on the way."""
        self.listener = listener
        self._others = others
        self._recipe = recipe
        self._prepared = prepared
        self._frozen = frozen
        self._zoo = zoo
        self._result = result
        self._own_before = result.rows_computed  # of a resumed stage: what it finds of those is its own
        self._opened: list[Features] = []
        self._counted: list[Features] = []
        self._seconds_per_row = 0.0
        self._keeps = False

    def open(self, number: int, plans: Mapping[int, Planned]) -> StageExamples:
        """Returns the stage's examples, everything that its plan keeps filled."""
        planned, started = plans[number], time.perf_counter()
        self._keeps = planned.plan.kept != "nowhere"
        epochs = self._recipe.stages[number].epochs
        self._seconds_per_row = planned.plan.seconds_without / (epochs * self._prepared.rows_per_epoch)
        self._fill_above(number, plans)
        levels, kept = self._levels(number, plans)
        plan, stays = planned.plan, planned.kept_cut == self._prepared.cuts[number]
        parts = [part for part in (self._prepared.train, self._prepared.held_out) if part]
        pairs, total = [], 0 if stays or plan.kept != "memory" else plan.size_bytes
        for part in parts:
            is_train = part is self._prepared.train
            features = self._features(part, levels, with_views=is_train and planned.views.count != 0)
            at_kept = features if kept == len(levels) - 1 else features.below
            self._counted += [at_kept] if at_kept is not None else []
            pairs.append((features, part.targets))
            views = max(planned.views.count or 1, 1) if is_train and stays else 1
            total += len(part) * views * features.row_bytes
        in_memory = fits_memory(total, self._zoo.feature_memory_bytes)
        held_out = pairs[1] if len(pairs) > 1 else None
        examples = StageExamples(pairs[0], held_out, planned.views, in_memory=in_memory, stays=stays)
        expected = self._prepared.rows_in(planned.views.count) if planned.kept_cut is not None else 0
        if in_memory and not stays:  # each epoch fills them anew
            expected += self._prepared.rows_per_epoch * (epochs - self._result.epochs_run)
        self.listener.expect(expected)
        if stays:
            examples.fill()
        elif planned.kept_cut is not None:
            for number_of_part, features in enumerate(self._counted):
                count = planned.views.count
                views_of_part = list(range(1, count + 1)) if count and not number_of_part else [0]
                features.fill(views_of_part, into_memory=plan.kept == "memory")
        if planned.kept_cut is not None:
            for features in self._counted:
                features.kept.note_cost(self._seconds_per_row)
            self._result.fill_seconds += time.perf_counter() - started
            self._result.feature_bytes = plan.size_bytes
        self.count()
        return examples

    def count(self) -> None:
        """Brings the result's counts up to date."""
        result = self._result
        computed = sum(features.computed for features in self._counted)
        result.rows_computed = self._own_before + computed
        if self._keeps:
            result.rows_reused = max(0, sum(features.reused for features in self._counted) - self._own_before)
        avoided = result.epochs_run * self._prepared.rows_per_epoch - result.rows_computed
        result.seconds_saved = max(0.0, avoided * self._seconds_per_row)

    def close(self) -> None:
        """Lets go of everything."""
        for features in self._opened:
            features.close()

    def _fill_above(self, number: int, plans: Mapping[int, Planned]) -> None:
        """Fills the cuts of later stages that lie above this stage's, which fills this stage's on the way."""
        own = self._prepared.cuts[number]
        later = [each for each in plans if each > number and plans[each].plan.kept == "store"]
        for each in sorted(later, key=lambda each: -len(self._prepared.cuts[each].frozen)):
            planned = plans[each]
            if planned.kept_cut is None or not own.frozen < planned.kept_cut.frozen:
                continue
            for part in [part for part in (self._prepared.train, self._prepared.held_out) if part]:
                count = planned.views.count if part is self._prepared.train else 0
                levels = self._stored_chain(planned.kept_cut, plans)
                features = self._features(part, levels, with_views=count != 0)
                features.fill(list(range(1, count + 1)) if count else [0], into_memory=False)

    def _levels(self, number: int, plans: Mapping[int, Planned]) -> tuple[list[Level], int]:
        """Returns the levels that the stage's rows come from, and which of them its plan keeps."""
        planned, cut = plans[number], self._prepared.cuts[number]
        if planned.kept_cut is None:
            return [Level(cut.frontier, self._recipe.dtype, False)], 0
        levels = self._stored_chain(planned.kept_cut, plans)
        levels[-1] = Level(levels[-1].frontier, levels[-1].dtype, planned.plan.kept == "store")
        kept = len(levels) - 1
        if planned.kept_cut != cut:
            levels.append(Level(cut.frontier, self._recipe.dtype, False))
        return levels, kept

    def _stored_chain(self, cut: Cut, plans: Mapping[int, Planned]) -> list[Level]:
        stored = [each.kept_cut for each in plans.values() if each.plan.kept == "store" and each.kept_cut]
        sources = [each.source for each in plans.values() if each.source]
        own = {stage_cut.frontier for stage_cut in self._prepared.cuts}
        chain = [
            Level(each.frontier, self._recipe.dtype if each.frontier in own else "float32", True)
            for each in chain_of(self._frozen, [*stored, *sources, *self._others], cut)
        ]
        if cut in sources:  # its exact rows are there, to be rounded
            chain.insert(-1, Level(cut.frontier, "float32", True))
        return chain

    def _features(self, part: Part, levels: Sequence[Level], *, with_views: bool) -> Features:
        features = self._frozen.features(part, levels, self._zoo.features, self.listener, with_views=with_views)
        at: Features | None = features
        while at is not None:
            self._opened.append(at)
            at = at.below
        return features
