"""Checkpoints: all that a run needs to go on where it was, as named arrays.

state          the JSON below, as bytes: the stage, its epochs' figures, the results of the stages before
layer/NAME/I   variable I of a layer that a finished stage has trained
now/I          variable I of the running stage: the head's weights and random states, then the optimizer's
best/I         variable I of the head after the best epoch, where early stopping restores it
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt

from frostline_server.training.events import StageResult
from frostline_server.training.programs import set_values, values_of
from frostline_server.training.progress import Progress
from frostline_server.training.recipe import EarlyStopping
from frostline_zoo.graph import Cut
from frostline_zoo.networks.build import Network

Array = npt.NDArray[Any]


class Checkpoint(Protocol):
    """Where a run keeps its state."""

    def load(self) -> dict[str, Array] | None:
        """Returns what was saved last and is whole."""
        ...

    def save(self, arrays: dict[str, Array]) -> None:
        """Saves, there whole or not at all."""
        ...


@dataclass
class RunState:
    """Where a run stands: `stage` is the one that runs, or runs next. `origin` names what it started from."""

    origin: str = ""
    stage: int = 0
    results: list[StageResult] = field(default_factory=list)
    layers: dict[str, list[Array]] = field(default_factory=dict)
    now: list[Array] = field(default_factory=list)
    best: list[Array] = field(default_factory=list)
    history: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = -1
    waited: int = 0

    @classmethod
    def restored(cls, arrays: dict[str, Array] | None, origin: str) -> RunState:
        """Returns what `arrays` holds; a new state for None, or where they come from another origin."""
        value = json.loads(arrays["state"].tobytes()) if arrays else {}
        if arrays is None or value["origin"] != origin:
            return cls(origin)
        state = cls(
            origin,
            stage=value["stage"],
            results=[StageResult.from_json(result) for result in value["results"]],
            now=_series(arrays, "now"),
            best=_series(arrays, "best"),
            history=value["history"],
            best_epoch=value["best_epoch"],
            waited=value["waited"],
        )
        for name in value["layers"]:
            state.layers[name] = _series(arrays, f"layer/{name}")
        return state

    def arrays(self) -> dict[str, Array]:
        """Returns the state as named arrays."""
        value = {
            "origin": self.origin,
            "stage": self.stage,
            "results": [asdict(result) for result in self.results],
            "layers": sorted(self.layers),
            "history": self.history,
            "best_epoch": self.best_epoch,
            "waited": self.waited,
        }
        arrays = {"state": np.frombuffer(json.dumps(value).encode(), np.uint8)}
        for prefix, values in [("now", self.now), ("best", self.best)]:
            arrays |= {f"{prefix}/{number}": array for number, array in enumerate(values)}
        for name, values in self.layers.items():
            arrays |= {f"layer/{name}/{number}": array for number, array in enumerate(values)}
        return arrays

    def resume(
        self, rule: EarlyStopping | None, variables: Sequence[keras.Variable], rising: Collection[str]
    ) -> Progress:
        """Returns where the stage stands, with `variables` set to what they were then."""
        if self.now:
            set_values(variables, self.now)
        return Progress(rule, dict(self.history), self.best_epoch, self.best or None, self.waited, rising)

    def note_epoch(self, result: StageResult, progress: Progress, variables: Sequence[keras.Variable]) -> None:
        """Takes in where the running stage stands."""
        self.results[self.stage :] = [result]
        self.now, self.best = values_of(variables), progress.best_values or []
        self.history, self.best_epoch, self.waited = progress.history, progress.best_epoch, progress.waited

    def end_stage(self, result: StageResult, network: Network, cut: Cut) -> None:
        """Takes in what the stage came to, and what it has trained."""
        self.results[self.stage :] = [result]
        for name, layer in network.layers.items():
            if name not in cut.frozen:
                self.layers[name] = values_of(layer.variables)
        self.now, self.best, self.history, self.best_epoch, self.waited = [], [], {}, -1, 0
        self.stage += 1


def _series(arrays: dict[str, Array], prefix: str) -> list[Array]:
    found: list[Array] = []
    while f"{prefix}/{len(found)}" in arrays:
        found.append(arrays[f"{prefix}/{len(found)}"])
    return found
