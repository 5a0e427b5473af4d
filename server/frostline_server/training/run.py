"""Running a recipe: its network assembled, its stages trained one after the other, the result described and stored."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_server.training.checkpoints import Checkpoint, RunState
from frostline_server.training.events import EpochEnded, Event, Filled, Noted, StageResult, StageStarted
from frostline_server.training.prepare import Prepared, prepare
from frostline_server.training.programs import Programs, set_values, values_of
from frostline_server.training.recipe import Recipe
from frostline_server.training.stage import FrozenTrunk, split_at, train_epochs
from frostline_server.training.zoo import ZooAccess
from frostline_zoo.graph import Cut
from frostline_zoo.manifest import Manifest
from frostline_zoo.networks.describe import describe

Array = npt.NDArray[Any]
Filling = tuple[list[Array], tuple[list[Array], Array] | None]

CHECKPOINT_SECONDS = 10.0


class Cancelled(Exception):  # noqa: N818 (not an error: somebody asked for it)
    """The job was asked to stop, and has."""


@dataclass(frozen=True)
class Outcome:
    """What a recipe came to: a network whose layers are stored, its figures, and its stages."""

    manifest: Manifest
    metrics: dict[str, float]
    stages: list[StageResult]


def run_recipe(
    recipe: Recipe,
    zoo: ZooAccess,
    programs: Programs,
    listener: Callable[[Event], None],
    checkpoint: Checkpoint,
    is_cancelled: Callable[[], bool],
    job: str,
) -> Outcome:
    """Runs a recipe from where its checkpoint stands, and stores the layers that it changed.

    Args:
        recipe: what to do.
        zoo: what it is done with.
        programs: compiled epochs that earlier jobs of this process have left.
        listener: told what happens, as it happens.
        checkpoint: where the state is kept every ten seconds.
        is_cancelled: asked between epochs, and between batches while features fill.
        job: `jobs/{job}`, for the manifest.

    Raises:
        Cancelled: `is_cancelled` said so.
        ZooError: what the recipe's author can mend.
    """
    prepared = prepare(recipe, zoo)
    run = _Run(recipe, zoo, programs, listener, checkpoint, is_cancelled, prepared)
    stages = run.all_stages()
    description = describe(prepared.network.model, prepared.network.manifest.preprocessing, prepared.parent, job)
    for content in description.blobs.values():
        zoo.blobs.put(content)
    metrics = {name: values[stages[-1].best_epoch] for name, values in stages[-1].history.items()}
    return Outcome(description.manifest, metrics, stages)


class _Run:
    def __init__(
        self,
        recipe: Recipe,
        zoo: ZooAccess,
        programs: Programs,
        listener: Callable[[Event], None],
        checkpoint: Checkpoint,
        is_cancelled: Callable[[], bool],
        prepared: Prepared,
    ) -> None:
        self._recipe = recipe
        self._zoo = zoo
        self._programs = programs
        self._tell = listener
        self._checkpoint = checkpoint
        self._is_cancelled = is_cancelled
        self._prepared = prepared
        self._network = prepared.network
        self._state = RunState.restored(checkpoint.load(), prepared.origin)

    def all_stages(self) -> list[StageResult]:
        """Runs the stages that the checkpoint has not seen end."""
        state = self._state
        for name, values in state.layers.items():
            set_values(self._network.layers[name].variables, values)
        if state.stage or state.history:
            epochs = max(map(len, state.history.values()), default=0)
            self._tell(Noted(f"goes on from its checkpoint, stage {state.stage + 1}, epoch {epochs + 1}"))
        while state.stage < len(self._recipe.stages):
            cut = self._prepared.cuts[state.stage]
            state.end_stage(self._run_stage(state.stage, cut), self._network, cut)
            if state.stage < len(self._recipe.stages):
                self._checkpoint.save(state.arrays())
        return state.results

    def _run_stage(self, number: int, cut: Cut) -> StageResult:
        stage, state = self._recipe.stages[number], self._state
        manifest = self._network.manifest
        if state.layers:  # described anew: an earlier stage has changed layers that this one may freeze
            manifest = describe(self._network.model, manifest.preprocessing).manifest
        trunk, head = split_at(replace(self._network, manifest=manifest), cut)
        program = self._programs.epoch_of(head, stage, self._prepared.objective)
        progress = state.resume(stage.early_stopping, program.variables)
        trainable = sum(int(np.prod(variable.shape)) for variable in head.trainable_variables)
        result = state.results[number] if progress.epochs_run else StageResult(len(cut.frozen), trainable)
        self._tell(StageStarted(number, stage.epochs, result.frozen_layer_count, trainable))
        filled: Filling | None = None
        if self._recipe.cached or not cut.frozen:
            started, own = time.perf_counter(), result.rows_computed
            result.rows_reused = 0
            filled = self._fill(number, trunk, result)
            result.rows_reused = max(0, result.rows_reused - own)  # of a resumed stage: those are its own
            result.fill_seconds += time.perf_counter() - started
        saved_at = time.monotonic()

        def features_for_epoch() -> Filling:
            if filled is not None:
                return filled
            program.release()
            return self._fill(number, trunk, result)

        def after_epoch(metrics: dict[str, float], seconds: float) -> None:
            nonlocal saved_at
            result.train_seconds += seconds
            result.epochs_run, result.history = progress.epochs_run, progress.history
            self._tell(EpochEnded(number, progress.epochs_run - 1, metrics, seconds))
            cancelled = self._is_cancelled()
            if cancelled or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                state.note_epoch(result, progress, program.variables)
                self._checkpoint.save(state.arrays())
                saved_at = time.monotonic()
            if cancelled:
                raise Cancelled

        seed = (self._recipe.seed, number)
        try:
            train_epochs(
                program, progress, stage.epochs, seed, features_for_epoch, self._prepared.train.targets, after_epoch
            )
        finally:
            program.release()
        set_values(head.variables, values_of(program.head.variables))
        result.best_epoch = progress.best_epoch if progress.best_values else -1
        return result

    def _fill(self, number: int, trunk: FrozenTrunk, result: StageResult) -> Filling:
        """Returns features of the training examples, and features and targets of the validation ones."""
        parts = [part for part in (self._prepared.train, self._prepared.held_out) if part]
        total = sum(len(part.places) for part in parts)
        store = self._zoo.features if self._recipe.cached else None
        features, done, computed, size_bytes = [], 0, 0, 0
        for part in parts:

            def on_progress(part_done: int, part_computed: int, done: int = done, computed: int = computed) -> None:
                self._tell(Filled(number, done + part_done, total, computed + part_computed))
                if self._is_cancelled():
                    raise Cancelled

            arrays, use = trunk.features_of(part, store, on_progress)
            features.append(arrays)
            done, computed, size_bytes = done + len(part.places), computed + use.computed, size_bytes + use.size_bytes
            result.rows_computed += use.computed
            result.rows_reused += use.reused
        result.feature_bytes = size_bytes
        return features[0], (features[1], parts[1].targets) if len(parts) > 1 else None
