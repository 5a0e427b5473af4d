"""A stage: the network cut once, features filled below the cut, and what is above it trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from frostline_server.engine import CompiledEpoch, compiled_forward, forward_batch_size
from frostline_server.features.fill import FeatureUse, fill
from frostline_server.features.store import FeatureStore
from frostline_server.training.programs import set_values, values_of
from frostline_server.training.progress import Progress
from frostline_zoo.examples.dataset import Examples
from frostline_zoo.graph import Cut
from frostline_zoo.identity import trunk_digests
from frostline_zoo.networks.build import Network
from frostline_zoo.networks.split import split

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Part:
    """Examples of one dataset: which of them, and their targets."""

    examples: Examples
    places: Array
    targets: Array


class FrozenTrunk:
    """The part of a network below a cut, as `fill` takes it."""

    def __init__(self, network: Network, cut: Cut, model: keras.Model | None) -> None:
        """`model` gives the frontier's tensors; None where the frontier is the input itself."""
        source = network.manifest.inputs[0]
        self._preprocessing = network.manifest.preprocessing
        self._shape = tuple(network.model.inputs[0].shape[1:])
        self._dtype = str(network.model.inputs[0].dtype)
        digests = trunk_digests(network.manifest)
        if model is None:
            self.tensors: Sequence[tuple[str | None, tuple[int, ...], str]] = [(None, self._shape, self._dtype)]
            self.batch_size = 1
            return
        self.tensors = [
            (None if ref.layer == source.name else digests[ref], tuple(output.shape[1:]), str(output.dtype))
            for ref, output in zip(cut.frontier, model.outputs, strict=True)
        ]
        self.batch_size = forward_batch_size(model)
        self._forward = compiled_forward(model)

    def forward(self, inputs: Array) -> list[Array]:
        """Returns the frontier's tensors for `batch_size` rows of the network's input."""
        return self._forward([inputs])

    def features_of(
        self, part: Part, store: FeatureStore | None, on_progress: Callable[[int, int], None]
    ) -> tuple[list[Array], FeatureUse]:
        """Returns the frontier's tensors for the part's examples, and what became of the rows."""

        def read_inputs(places: Array) -> Array:
            return part.examples.inputs(part.places[places], self._shape, self._dtype, self._preprocessing)

        return fill(self, part.examples.digests[part.places], read_inputs, store, on_progress)


def split_at(network: Network, cut: Cut) -> tuple[FrozenTrunk, keras.Model]:
    """Returns the frozen part and the head of a network; the head's layers train, the trunk's do not."""
    for name, layer in network.layers.items():
        layer.trainable = name not in cut.frozen
    parts = split(network, cut)
    return FrozenTrunk(network, cut, parts.trunk), parts.head


def train_epochs(
    program: CompiledEpoch,
    progress: Progress,
    epochs: int,
    seed: Sequence[int],
    features_for_epoch: Callable[[], tuple[list[Array], tuple[list[Array], Array] | None]],
    targets: Array,
    after_epoch: Callable[[dict[str, float], float], None],
) -> None:
    """Runs a stage's epochs, from where `progress` stands to the last one or until patience runs out.

    Args:
        seed: with the epoch's number it gives the order of the examples, so that a resumed stage takes the same one.
        features_for_epoch: gives features of the training examples, and features and targets of the validation ones.
        targets: of the training examples.
        after_epoch: told the figures and the seconds; may raise to stop.
    """
    rule = progress.early_stopping
    while progress.epochs_run < epochs and not progress.should_stop():
        started = time.perf_counter()
        order = np.random.default_rng([*seed, progress.epochs_run]).permutation(len(targets))
        features, held_out = features_for_epoch()
        metrics = program(features, targets, order, held_out)
        is_best = progress.add(metrics)
        if is_best and rule and rule.restore_best:
            progress.best_values = values_of(program.head.variables)
        after_epoch(metrics, time.perf_counter() - started)
    if rule and rule.restore_best and progress.best_values is not None:
        set_values(program.head.variables, progress.best_values)
    program.release()
