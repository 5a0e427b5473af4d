"""Running a recipe: its network assembled, its stages trained one after the other, the result described and stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import keras
import numpy as np

from frostline_server.engine.epoch import CompiledEpoch
from frostline_server.training.augmentation import unused_randomness
from frostline_server.training.checkpoints import Checkpoint, RunState
from frostline_server.training.costs import Costs
from frostline_server.training.events import EpochEnded, Event, Noted, StageResult, StageStarted
from frostline_server.training.filling import Cancelled, Filling, StageListener
from frostline_server.training.frozen import Frozen
from frostline_server.training.planner import Planned, Planner
from frostline_server.training.prepare import Prepared, prepare
from frostline_server.training.programs import Programs, set_values, values_of
from frostline_server.training.progress import Progress
from frostline_server.training.recipe import Recipe, Stage
from frostline_server.training.stage import StageExamples
from frostline_server.training.waiting import waiting_cuts
from frostline_server.training.zoo import ZooAccess
from frostline_zoo.graph import Cut
from frostline_zoo.manifest import Layer, Manifest
from frostline_zoo.networks.describe import describe
from frostline_zoo.networks.split import split, thaw_above

CHECKPOINT_SECONDS = 10.0


@dataclass(frozen=True)
class Outcome:
    """What a recipe came to: a network whose layers are stored, its figures, and its stages."""

    manifest: Manifest
    metrics: dict[str, float]
    stages: list[StageResult]


@dataclass(frozen=True)
class Surroundings:
    """What a run has around it.

    Attributes:
        zoo: what it works with.
        programs: compiled programs that earlier jobs of this process have left.
        costs: what earlier jobs of this process have measured.
        tell: told what happens, as it happens.
        checkpoint: where the state is kept every ten seconds.
        is_cancelled: asked between epochs, within long ones, and between batches while features fill.
        waiting: returns the recipes of the jobs that wait.
    """

    zoo: ZooAccess
    programs: Programs
    costs: Costs
    tell: Callable[[Event], None]
    checkpoint: Checkpoint
    is_cancelled: Callable[[], bool]
    waiting: Callable[[], list[str]]

    def forget(self, layers: Collection[keras.Layer]) -> None:
        """Lets go of everything kept that runs one of the layers as it is now, since it is going to change."""
        self.programs.forget_trunks_of(layers)
        self.zoo.built.forget(layers)


def run_recipe(recipe: Recipe, around: Surroundings, job: str) -> Outcome:
    """Runs a recipe from where its checkpoint stands, and stores the layers that it changed.

    Args:
        recipe: what to do.
        around: what it is done with.
        job: `jobs/{job}`, for the manifest.

    Raises:
        Cancelled: `is_cancelled` said so.
        ZooError: what the recipe's author can mend.
    """
    prepared = prepare(recipe, around.zoo)
    run = _Run(recipe, around, prepared)
    stages = run.all_stages()
    manifest = prepared.network.manifest
    description = describe(
        prepared.network.model, manifest.preprocessing, prepared.parent, job, known=run.untouched_layers()
    )
    around.zoo.blobs.put_all(description.blobs.values())
    metrics = {name: values[stages[-1].best_epoch] for name, values in stages[-1].history.items()}
    return Outcome(replace(description.manifest, origins=manifest.origins), metrics, stages)


class _Run:
    def __init__(self, recipe: Recipe, around: Surroundings, prepared: Prepared) -> None:
        self._recipe = recipe
        self._around = around
        self._prepared = prepared
        self._network = prepared.network
        self._state = RunState.restored(around.checkpoint.load(), prepared.origin)
        self._planner = Planner(recipe, prepared, around.zoo, around.costs)
        self._plans: dict[int, Planned] = {}

    def all_stages(self) -> list[StageResult]:
        """Runs the stages that the checkpoint has not seen end."""
        state = self._state
        self._around.forget([self._network.layers[name] for name in state.layers])
        for name, values in state.layers.items():
            set_values(self._network.layers[name].variables, values)
        if state.stage or state.history:
            epochs = max(map(len, state.history.values()), default=0)
            self._around.tell(Noted(f"goes on from its checkpoint, stage {state.stage + 1}, epoch {epochs + 1}"))
        while state.stage < len(self._recipe.stages):
            cut = self._prepared.cuts[state.stage]
            state.end_stage(self._run_stage(state.stage, cut), self._network, cut)
            if state.stage < len(self._recipe.stages):
                self._around.checkpoint.save(state.arrays())
        return state.results

    def _run_stage(self, number: int, cut: Cut) -> StageResult:
        stage, state = self._recipe.stages[number], self._state
        frozen = self._frozen(cut)
        planned = self._plan(number, frozen)
        head = split(frozen.network, cut).head
        program = self._around.programs.epoch_of(head, stage, self._prepared.objective)
        rising = self._prepared.objective.rising()
        progress = state.resume(stage.early_stopping, program.variables, rising)
        trainable = sum(int(np.prod(variable.shape)) for variable in head.trainable_variables)
        result = state.results[number] if progress.epochs_run else StageResult(len(cut.frozen), trainable)
        result.plan = result.plan or planned.plan  # of a resumed stage the first: its counts are those of all attempts
        self._around.tell(StageStarted(number, stage.epochs, result.frozen_layer_count, trainable, planned.plan))
        if resting := unused_randomness(self._recipe, frozen.manifest, cut):
            self._around.tell(Noted(resting))
        listener = StageListener(number, self._around.tell, self._around.is_cancelled)
        others = self._waiting_cuts(cut, frozen, planned)
        filling = Filling(self._recipe, self._prepared, frozen, self._around.zoo, listener, result, others)
        try:
            examples = filling.open(number, self._plans)
            try:
                self._train(number, stage, program, progress, result, examples, filling)
            finally:
                program.release()
                examples.close()
        finally:
            filling.close()
        set_values(head.variables, values_of(program.head.variables))
        result.best_epoch = progress.best_epoch if progress.best_values else -1
        return result

    def untouched_layers(self) -> dict[str, Layer]:
        """Returns the layers that no stage so far has trained, by name, as they were stored before."""
        trained = self._state.layers
        return {
            layer.name: layer
            for layer in self._network.manifest.layers
            if layer.name not in trained and (layer.blob is None or self._around.zoo.blobs.has(layer.blob))
        }

    def _frozen(self, cut: Cut) -> Frozen:
        """Returns the network as the stage finds it, all below the cut frozen and all above it to train."""
        manifest = self._network.manifest
        if self._state.layers:  # described anew: an earlier stage has changed layers that this one may freeze
            known = self.untouched_layers()
            manifest = describe(self._network.model, manifest.preprocessing, known=known).manifest
        thaw_above(self._network, cut)
        self._around.forget([layer for name, layer in self._network.layers.items() if name not in cut.frozen])
        return Frozen(replace(self._network, manifest=manifest), self._around.programs)

    def _waiting_cuts(self, cut: Cut, frozen: Frozen, planned: Planned) -> list[Cut]:
        """Returns what jobs that wait need, and what there is room for."""
        if planned.plan.kept != "store" or not planned.plan.rows_missing:
            return []
        cuts = waiting_cuts(self._around.waiting(), self._recipe, cut, frozen, self._around.zoo)
        chosen: list[Cut] = []
        for each in cuts:
            if self._planner.has_room([*chosen, each], frozen, beside=self._plans.values()):
                chosen.append(each)
        return chosen

    def _plan(self, number: int, frozen: Frozen) -> Planned:
        """Plans the stage, and with the first one all whose trunks are known by then: one pass fills them all."""
        wanted = [number]
        if not self._plans:
            later = range(number + 1, len(self._recipe.stages))
            wanted += [each for each in later if self._planner.is_known(each) and self._prepared.cuts[each].frozen]
        for each in wanted:
            if each not in self._plans:
                beside = [planned for other, planned in self._plans.items() if other >= number]
                self._plans[each] = self._planner.plan(each, frozen, beside=beside)
        return self._plans[number]

    def _train(
        self,
        number: int,
        stage: Stage,
        program: CompiledEpoch,
        progress: Progress,
        result: StageResult,
        examples: StageExamples,
        filling: Filling,
    ) -> None:
        """Runs a stage's epochs, from where `progress` stands to the last one or until patience runs out."""
        rule, saved_at = progress.early_stopping, time.monotonic()
        while progress.epochs_run < stage.epochs and not progress.should_stop():
            started, epoch = time.perf_counter(), progress.epochs_run
            # From the epoch's number, so that a resumed stage takes the same order.
            chance = np.random.default_rng([self._recipe.seed, number, epoch])
            order = chance.permutation(len(self._prepared.train.targets))
            metrics = examples.run_epoch(program, epoch, order, filling.listener.check)
            is_best = progress.add(metrics)
            if is_best and rule and rule.restore_best:
                progress.best_values = values_of(program.head.variables)
            seconds = time.perf_counter() - started
            result.train_seconds += seconds
            result.epochs_run, result.history = progress.epochs_run, progress.history
            filling.count()
            self._around.tell(EpochEnded(number, epoch, metrics, seconds))
            cancelled = self._around.is_cancelled()
            if cancelled or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                self._state.note_epoch(result, progress, program.variables)
                self._around.checkpoint.save(self._state.arrays())
                saved_at = time.monotonic()
            if cancelled:
                raise Cancelled
        if rule and rule.restore_best and progress.best_values is not None:
            set_values(program.head.variables, progress.best_values)
        else:
            program.optimizer.finalize_variable_values(
                program.head.trainable_variables
            )  # averages, where it keeps them
        progress.check_values(values_of(program.head.variables))
