"""The planner: for each stage, where rows are kept between its epochs, and at which cut. It decides by expected time.

    keep at the cut                 fill once, then read rows in every epoch
    keep at a lower cut             fewer bytes, where the tensor there is smaller; the rest is computed in every epoch
    keep nowhere                    compute every row in every epoch

Rows that are kept go to the store, where later jobs find them; to memory alone where the disk's budget has no room, or
where writing them takes longer than that is worth.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

from frostline_server.features.store import FeatureStore
from frostline_server.training.augmentation import Views, views_of
from frostline_server.training.costs import Costs, DiskSpeed
from frostline_server.training.frozen import Frontier, Frozen, Level, Part, PartRows
from frostline_server.training.option import Option, weighed
from frostline_server.training.plan import StagePlan
from frostline_server.training.prepare import Prepared, prepare
from frostline_server.training.programs import Programs
from frostline_server.training.reason import reason_of
from frostline_server.training.recipe import Recipe
from frostline_server.training.room import fits_budget, fits_memory, stored_bytes
from frostline_server.training.stock import Stock, stock_of
from frostline_server.training.zoo import ZooAccess
from frostline_zoo.errors import InvalidError
from frostline_zoo.graph import Cut, calls_in_order, cut_through
from frostline_zoo.manifest import TensorRef

_USUAL_BYTES_PER_SECOND = 1e9  # of what was lately written, and is read
# What a row that is computed in every epoch takes beside its layers, on its way into the program and out of it.
_PASS_SECONDS = 2.5e-6


@dataclass(frozen=True)
class Planned:
    """A stage's plan, in the terms of its network.

    Attributes:
        plan: for people.
        kept_cut: where its rows are kept: the stage's own cut, or a lower one; None where none are.
        source: a cut further down with rows in the store, from which the missing ones are computed.
        views: which views of the training examples it takes.
        stored: what it keeps on disk, in bytes by digest and dtype.
    """

    plan: StagePlan
    kept_cut: Cut | None
    source: Cut | None
    views: Views
    stored: dict[tuple[str, str], int]


def plan_recipe(recipe: Recipe, zoo: ZooAccess) -> list[StagePlan]:
    """Returns the plan of every stage, as a job that starts now would make it.

    Raises:
        NotFoundError: the base or a dataset does not exist.
        InvalidError: something does not fit; the message names the key or the thing.
    """
    prepared = prepare(recipe, zoo)
    planner = Planner(recipe, prepared, zoo, Costs())
    frozen = Frozen(prepared.network, Programs())
    return [planned.plan for planned in planner.plan_all(frozen)]


def _stored(planned: Collection[Planned]) -> dict[tuple[str, str], int]:
    return {key: size for each in planned for key, size in each.stored.items()}


class Planner:
    """Plans the stages of one recipe."""

    def __init__(self, recipe: Recipe, prepared: Prepared, zoo: ZooAccess, costs: Costs) -> None:
        self._recipe = recipe
        self._prepared = prepared
        self._store = zoo.features
        self._memory_bytes = zoo.feature_memory_bytes
        self._costs = costs

    def plan(self, number: int, frozen: Frozen, is_known: bool = True, *, beside: Collection[Planned] = ()) -> Planned:
        """Returns what stage `number` does about its features.

        Args:
            number: which stage, counted from 0.
            frozen: the network as it is before the stage.
            is_known: whether it is; otherwise stages before will have changed what lies below the cut.
            beside: other stages that are filled in the same pass, which share the budget.
        """
        return _StagePlanner(self, number, frozen, is_known, _stored(beside)).plan()

    def plan_all(self, frozen: Frozen) -> list[Planned]:
        """Returns what every stage does, given the network as it is before the first."""
        planned: list[Planned] = []
        for number in range(len(self._recipe.stages)):
            is_known = self.is_known(number)
            planned.append(self.plan(number, frozen, is_known, beside=planned if is_known else ()))
        return planned

    def is_known(self, number: int) -> bool:
        """Whether a stage's trunk is what it is before training: no stage before it trains a layer that it freezes."""
        trained = {
            layer.name
            for cut in self._prepared.cuts[:number]
            for layer in self._prepared.network.manifest.layers
            if layer.name not in cut.frozen and layer.parameters
        }
        return not trained & self._prepared.cuts[number].frozen

    def has_room(self, cuts: Collection[Cut], frozen: Frozen, beside: Collection[Planned]) -> bool:
        """Whether the rows of all these cuts fit into the budget beside what stages keep."""
        rows = self._prepared.rows_per_epoch
        taken = [size for cut in cuts for size in stored_bytes(frozen, frozen.digests, cut, rows, "float32").values()]
        return fits_budget(sum(taken) + sum(_stored(beside).values()), self._store.budget_bytes)


class _StagePlanner:
    def __init__(
        self, planner: Planner, number: int, frozen: Frozen, is_known: bool, beside: dict[tuple[str, str], int]
    ) -> None:
        prepared, recipe = planner._prepared, planner._recipe
        self._recipe = recipe
        self._stage = recipe.stages[number]
        self._cut = prepared.cuts[number]
        self._frozen = frozen
        self._train, self._held_out = prepared.train, prepared.held_out
        self._rows_per_epoch = prepared.rows_per_epoch
        self._views = views_of(recipe, frozen.manifest, self._cut)
        self._store: FeatureStore = planner._store
        self._memory_bytes = planner._memory_bytes
        self._costs = planner._costs
        self._is_known = is_known
        self._beside = beside
        self._total_rows = prepared.rows_in(self._views.count)
        self._rows = PartRows(prepared.train, frozen.network)
        self._is_image = prepared.train.examples.spec.is_image

    def plan(self) -> Planned:
        if not self._cut.frozen:
            return self._plan_inputs()
        if not self._recipe.cached:
            nowhere = self._nowhere()
            return self._planned(nowhere, nowhere.seconds, "the recipe says cache: false")
        total = self._total_rows
        if total and self._stock(self._cut, self._recipe.dtype).present == total:
            size = total * self._row_bytes(self._cut)  # nothing is left to decide
            read = size * (1 if self._fits_memory(size) else self._stage.epochs) / _USUAL_BYTES_PER_SECOND
            option = Option(self._cut, "store", read, size, total, 0)
            known = self._known_seconds_per_row()  # where it is, nothing is measured
            without = self._rows_per_epoch * self._stage.epochs * known if known else self._nowhere().seconds
            return self._planned(option, without, f"all {total} rows are in the store already")
        options = self._options()
        nowhere = next(option for option in options if option.kept == "nowhere")
        best = min(options, key=weighed)
        if best.kept == "store" and best.cut == self._cut and not best.missing:
            return self._planned(best, nowhere.seconds, f"all {total} rows are kept for a stage before")
        reason = reason_of(
            best,
            options,
            self._cut,
            epochs=self._stage.epochs,
            size=total * self._row_bytes(self._cut),
            budget=self._store.budget_bytes or 0,
            beside=sum(self._beside.values()),
        )
        return self._planned(best, nowhere.seconds, reason)

    def _plan_inputs(self) -> Planned:
        """Nothing is frozen: the examples themselves are what trains."""
        rows, row_bytes = self._rows_per_epoch, self._row_bytes(self._cut)
        size = rows * row_bytes
        prepare_seconds = self._prepare_seconds if self._is_image else 0.0
        nowhere = Option(None, "nowhere", rows * self._stage.epochs * prepare_seconds, size, 0, rows)
        if self._fits_memory(size):
            held = Option(self._cut, "memory", rows * prepare_seconds, size, 0, rows)
            return self._planned(held, nowhere.seconds, "nothing is frozen; the examples fit into memory")
        if self._is_image and self._fits_budget(self._cut) and self._recipe.cached:
            present, missing = self._stock(self._cut, "float32")
            seconds = missing * prepare_seconds + size * self._stage.epochs / self._disk.cold_read
            if seconds < nowhere.seconds:
                stored = Option(self._cut, "store", seconds, size, present, missing)
                return self._planned(stored, nowhere.seconds, "nothing is frozen; decoded examples are read faster")
        return self._planned(nowhere, nowhere.seconds, "nothing is frozen; examples are read again in every epoch")

    def _options(self) -> list[Option]:
        options, contents = (
            [],
            stock_of(self._frozen, Level(self._cut.frontier, "float32", True), self._parts_and_views(), None).missing,
        )
        for cut in [self._cut, *self._lower_cuts]:
            dtype = self._recipe.dtype if cut == self._cut else "float32"
            total = self._total_rows
            size = total * self._row_bytes(cut)
            present, missing = self._stock(cut, dtype, self._beside)
            above = 0.0
            if cut != self._cut:
                above = self._rows_per_epoch * self._stage.epochs
                above *= self._seconds_between(cut.frontier, self._cut.frontier) + self._pass_seconds
            if self._fits_budget(cut):
                disk = missing * self._row_bytes(cut) / self._disk.write + self._read_seconds(size)
                seconds = self._seconds_to_compute(cut, missing) + above + disk
                options.append(Option(cut, "store", seconds, size, present, missing, disk))
            if self._fits_memory(size):
                seconds = self._seconds_to_compute(cut, contents, may_store=False) + above
                options.append(Option(cut, "memory", seconds, size, 0, contents))
        return [*options, self._nowhere()]

    def _seconds_to_compute(self, cut: Cut, rows: int, *, may_store: bool = True) -> float:
        """Returns what so many missing rows take, with those that their source lacks."""
        source = self._source_for(may_store)
        if source is None or not source.frozen <= cut.frozen:
            return rows * (self._prepare_seconds + self._seconds_between(None, cut.frontier))
        lacking = min(rows, self._lacking)
        first = lacking * (self._prepare_seconds + self._seconds_between(None, source.frontier)) if lacking else 0.0
        return first + rows * self._seconds_between(source.frontier, cut.frontier)

    def _source_for(self, may_store: bool) -> Cut | None:
        """Returns the source of missing rows: what it lacks is stored, so a stage that does not needs a whole one."""
        return self._source if may_store or not self._lacking else None

    @cached_property
    def _lacking(self) -> int:
        """How many rows the source lacks."""
        return self._stock(self._source, "float32").missing if self._source else 0

    def _nowhere(self) -> Option:
        rows = self._rows_per_epoch * self._stage.epochs
        each = self._prepare_seconds + self._seconds_between(None, self._cut.frontier) + self._pass_seconds
        return Option(None, "nowhere", rows * each, 0, 0, self._rows_per_epoch)

    @property
    def _pass_seconds(self) -> float:
        return _PASS_SECONDS + self._row_bytes(self._cut) / _USUAL_BYTES_PER_SECOND

    @cached_property
    def _lower_cuts(self) -> list[Cut]:
        """Returns cuts below the stage's own whose rows are smaller, the smallest first, at most four."""
        own = self._row_bytes(self._cut)
        found: dict[Frontier, Cut] = {}
        for layer in self._frozen.manifest.layers:
            made = (TensorRef(layer.name),)
            is_below = layer.name in self._cut.frozen and len(layer.calls) == 1 and self._frozen.is_sized(made)
            if not is_below or 2 * self._frozen.row_bytes(made) > own:
                continue
            cut = self._cut_at(layer.name)
            if cut is not None and 2 * self._row_bytes(cut) <= own:
                found[cut.frontier] = cut
        return sorted(found.values(), key=lambda cut: (self._row_bytes(cut), -len(cut.frozen)))[:4]

    def _planned(self, option: Option, seconds_without: float, reason: str) -> Planned:
        kept_at = option.cut.frontier if option.cut else ()
        lower = option.cut is not None and option.cut != self._cut
        plan = StagePlan(
            tuple(dict.fromkeys(ref.layer for ref in self._cut.frontier)),
            len(self._cut.frozen),
            option.kept,
            tuple(dict.fromkeys(ref.layer for ref in kept_at)),
            "float32" if lower else self._recipe.dtype,
            self._views.count or 0,
            option.present,
            option.missing,
            option.size_bytes,
            option.seconds,
            seconds_without,
            reason if self._is_known else f"{reason}; what lies below the cut is only known after the stages before",
        )
        is_computed = option.missing and option.cut is not None and self._cut.frozen
        source = self._source_for(option.kept == "store") if is_computed else None
        stored = self._stored_bytes(option.cut) if option.cut and option.kept == "store" else {}
        return Planned(plan, option.cut, source, self._views, stored)

    def _row_bytes(self, cut: Cut) -> int:
        dtype = self._recipe.dtype if cut == self._cut else "float32"
        return self._frozen.row_bytes(cut.frontier, dtype)

    def _stock(self, cut: Cut, dtype: str, beside: Collection[tuple[str, str]] = ()) -> Stock:
        """Returns how many of the rows are there, with what stages `beside` store, and how many are missing."""
        store = self._store if self._is_known else None
        return stock_of(self._frozen, Level(cut.frontier, dtype, True), self._parts_and_views(), store, beside)

    def _parts_and_views(self) -> list[tuple[Part, list[int]]]:
        views = list(range(1, self._views.count + 1)) if self._views.count else [0]
        parts: list[tuple[Part, list[int]]] = [(self._train, views)]
        return [*parts, (self._held_out, [0])] if self._held_out else parts

    def _fits_budget(self, cut: Cut) -> bool:
        return fits_budget(sum((self._beside | self._stored_bytes(cut)).values()), self._store.budget_bytes)

    def _stored_bytes(self, cut: Cut) -> dict[tuple[str, str], int]:
        digests = self._frozen.view_digests if self._views.count else self._frozen.digests
        dtype = self._recipe.dtype if cut == self._cut else "float32"
        held_out = len(self._held_out) if self._held_out else 0  # of which there are no views
        kept = stored_bytes(self._frozen, digests, cut, self._total_rows - held_out, dtype)
        if held_out:
            for key, size in stored_bytes(self._frozen, self._frozen.digests, cut, held_out, dtype).items():
                kept[key] = kept.get(key, 0) + size
        return kept

    def _fits_memory(self, size_bytes: int) -> bool:
        return fits_memory(size_bytes, self._memory_bytes)

    def _seconds_between(self, sources: Frontier | None, targets: Frontier) -> float:
        if not (self._lower_cuts or self._source or self._views.count != 0):  # one trunk is all there is to weigh
            return self._trunk_seconds(targets)
        return self._compiled_share * self._one_by_one(sources, targets)

    def _one_by_one(self, sources: Frontier | None, targets: Frontier) -> float:
        """Returns the seconds that the layers between some tensors take a row, without what compiling saves."""
        wanted = tuple(ref for ref in targets if not self._frozen.is_input(ref))
        forward = self._costs.forward(self._frozen.network, self._rows.zeros)
        calls = calls_in_order(replace(self._frozen.manifest, outputs=wanted), sources or ())
        return sum(forward.get(call, 0.0) for call in calls)

    def _trunk_seconds(self, targets: Frontier) -> float:
        """Returns the seconds that the compiled trunk from the examples to some tensors takes a row."""
        key = tuple(self._frozen.digests[ref] for ref in targets if not self._frozen.is_input(ref))
        return self._costs.trunk(key, lambda: self._frozen.trunk(targets), self._rows.zeros)

    @cached_property
    def _compiled_share(self) -> float:
        own = self._cut.frontier
        # With a source, views or other stages, other programs run than this trunk: it is not compiled only to be timed.
        is_run = self._source is None and self._views.count == 0 and len(self._recipe.stages) == 1
        measure = (lambda: min(1.0, self._trunk_seconds(own) / self._one_by_one(None, own))) if is_run else None
        return self._costs.compiled_share(self._frozen.network, self._rows.zeros, measure)

    def _known_seconds_per_row(self) -> float:
        """Returns what computing a row took when the rows that are there were computed."""
        kept = self._stored_bytes(self._cut)
        return max((self._store.use_of(digest, dtype).seconds_per_row for digest, dtype in kept), default=0.0)

    @cached_property
    def _prepare_seconds(self) -> float:
        """What one example's way to an input takes."""
        return self._costs.prepare(self._rows.inputs, len(self._train))

    def _read_seconds(self, size_bytes: int) -> float:
        if self._fits_memory(size_bytes):
            return size_bytes / self._disk.cold_read
        return size_bytes * self._stage.epochs / self._disk.cold_read

    @cached_property
    def _disk(self) -> DiskSpeed:
        return self._costs.disk(self._store.root)

    @cached_property
    def _source(self) -> Cut | None:
        """The highest cut below the stage's own that has at least half of its rows in the store.

        The stage's own where its exact rows are there, and it keeps rounded ones.
        """
        if self._recipe.dtype != "float32" and 2 * self._stock(self._cut, "float32").present >= self._total_rows:
            return self._cut
        digests = self._frozen.view_digests if self._views.count != 0 else self._frozen.digests
        for layer in reversed(self._frozen.manifest.layers):
            is_below = layer.name in self._cut.frozen and len(layer.calls) == 1
            if not is_below or not self._store.has(digests[TensorRef(layer.name)], "float32"):
                continue
            cut = self._cut_at(layer.name)
            if cut is not None and 2 * self._stock(cut, "float32").present >= self._total_rows:
                return cut
        return None

    def _cut_at(self, layer: str) -> Cut | None:
        """Returns the cut just above a layer, where it is one that the stage's own can be computed from."""
        try:
            cut = cut_through(self._frozen.manifest, [layer])
        except InvalidError:
            return None
        is_lower = cut.frozen < self._cut.frozen and self._frozen.reaches(cut.frontier, self._cut.frontier)
        return cut if is_lower and self._frozen.is_sized(cut.frontier) else None
