"""Preparing: everything that a recipe names, found in the zoo and fitted together. What does not fit is refused here.

Checking a recipe is preparing it and going no further, so what passes the check is what runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_server.training.assemble import Assembled, assemble
from frostline_server.training.augmentation import check_views
from frostline_server.training.frozen import Part, row_bytes
from frostline_server.training.keras_names import make
from frostline_server.training.objective import Objective, as_targets, objective_of
from frostline_server.training.place import named_by
from frostline_server.training.plan import told_bytes
from frostline_server.training.recipe import Recipe, Stage
from frostline_server.training.zoo import ZooAccess
from frostline_zoo.digests import digest_of, digest_of_json
from frostline_zoo.errors import InvalidError
from frostline_zoo.examples.dataset import Examples, check_fits
from frostline_zoo.graph import Cut, cut_through
from frostline_zoo.names import parse_model_reference
from frostline_zoo.networks.build import Network
from frostline_zoo.networks.split import thaw_above

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Prepared:
    """A recipe with all it names.

    Attributes:
        origin: the digest of what training starts from: the network with its first weights, the examples, the recipe.
        parent: the digest of the base; None without one.
        network: the reused layers and the head.
        cuts: one for each stage.
        objective: the loss and the metrics.
        train: the examples to train on.
        held_out: the validation examples, if any.
    """

    origin: str
    parent: str | None
    network: Network
    cuts: tuple[Cut, ...]
    objective: Objective
    train: Part
    held_out: Part | None

    @property
    def rows_per_epoch(self) -> int:
        """How many examples an epoch takes, validation included."""
        return self.rows_in(1)

    def rows_in(self, views: int | None) -> int:
        """How many rows all examples have, with so many views of each that trains; none: the example itself."""
        return len(self.train) * (views or 1) + (len(self.held_out) if self.held_out else 0)


def prepare(recipe: Recipe, zoo: ZooAccess) -> Prepared:
    """Returns the recipe with all it names.

    Raises:
        NotFoundError: the base or a dataset does not exist.
        InvalidError: something does not fit; the message names the key or the thing.
    """
    version, base = zoo.models.manifest_of(parse_model_reference(recipe.base)) if recipe.base else (None, None)
    examples = zoo.datasets.open(recipe.data.train)
    assembled = assemble(recipe, base, examples.spec, zoo)
    network = assembled.network
    cuts = tuple(_cut(stage, number, assembled) for number, stage in enumerate(recipe.stages))
    for stage, cut in zip(recipe.stages, cuts, strict=True):
        _check_trains(network, cut)
        _check_sizes(network, cut)
        make("optimizer", stage.optimizer)
    check_views(recipe, network, cuts)
    objective = objective_of(recipe, network.model)
    train, held_out = _parts(recipe, examples, zoo, objective, network)
    objective.check_fits(train.targets, tuple(network.model.outputs[0].shape[1:]))
    _check_monitors(recipe, objective, held_out is not None)
    _check_budget(recipe, network, cuts, zoo.features.budget_bytes)
    parts = [part for part in (train, held_out) if part]
    lists = [digest_of(part.examples.digests[part.places].tobytes() + part.targets.tobytes()) for part in parts]
    origin = digest_of_json("origin", [network.manifest.digest, *lists, asdict(recipe)])
    return Prepared(origin, version.digest if version else None, network, cuts, objective, train, held_out)


def _cut(stage: Stage, number: int, assembled: Assembled) -> Cut:
    manifest = assembled.network.manifest
    if stage.freeze is None:
        return cut_through(manifest, assembled.reused)
    with named_by(f"stages[{number}].freeze"):
        return cut_through(manifest, stage.freeze)


def _check_trains(network: Network, cut: Cut) -> None:
    thaw_above(network, cut)
    if not any(layer.trainable_weights for layer in network.layers.values()):
        raise InvalidError("nothing above the cut has weights to train: freeze fewer layers, or add layers to the head")


def _check_sizes(network: Network, cut: Cut) -> None:
    for ref in cut.frontier:
        if None in network.tensors[ref].shape[1:]:
            raise InvalidError(
                f"layer {ref.layer!r} puts out tensors of any size, and features have one: "
                "freeze up to a layer behind a global pooling, or give the input a size in reuse.input",
                reason="FREE_SIZE",
            )


def _check_budget(recipe: Recipe, network: Network, cuts: Sequence[Cut], budget_bytes: int | None) -> None:
    if not recipe.cached or not budget_bytes:
        return
    for number, (stage, cut) in enumerate(zip(recipe.stages, cuts, strict=True), start=1):
        batch_bytes = stage.batch_size * row_bytes(network, cut.frontier, recipe.dtype)
        if cut.frozen and batch_bytes > budget_bytes:
            raise InvalidError(
                f"one batch of features takes {told_bytes(batch_bytes)} in stage {number}, and the server's budget for "
                f"features is {told_bytes(budget_bytes)}: start it with more --feature-bytes, or write cache: false",
                reason="FEATURE_BUDGET",
            )


def _check_monitors(recipe: Recipe, objective: Objective, has_validation: bool) -> None:
    names = ["loss", *(metric.name for metric in objective.make_metrics())]
    names += [f"val_{name}" for name in names] if has_validation else []
    for number, stage in enumerate(recipe.stages):
        monitor = stage.early_stopping.monitor if stage.early_stopping else None
        if monitor is not None and monitor not in names:
            place = f"stages[{number}].early_stopping.monitor"
            text = f"recipe: {place} is {monitor!r}: use {', '.join(names)}"
            raise InvalidError(text, reason="BAD_RECIPE", key=place)


def _parts(
    recipe: Recipe, examples: Examples, zoo: ZooAccess, objective: Objective, network: Network
) -> tuple[Part, Part | None]:
    with named_by("data.train"):
        train = _part(recipe.data.train, examples, np.arange(len(examples)), objective, network)
    if recipe.data.validation is not None:
        with named_by("data.validation"):
            others = zoo.datasets.open(recipe.data.validation)
            return train, _part(recipe.data.validation, others, np.arange(len(others)), objective, network)
    if recipe.data.fraction is None:
        return train, None
    shuffled = np.random.default_rng(recipe.data.seed).permutation(len(examples))
    count = round(len(examples) * recipe.data.fraction)
    if not 0 < count < len(examples):
        raise InvalidError(
            f"recipe: data.validation.fraction is {recipe.data.fraction}, which of {len(examples)} examples "
            "leaves none on one side: choose another",
            reason="BAD_RECIPE",
            key="data.validation.fraction",
        )
    held_out, kept = np.sort(shuffled[:count]), np.sort(shuffled[count:])
    return (
        Part(examples, kept, train.targets[kept]),
        Part(examples, held_out, train.targets[held_out]),
    )


def _part(name: str, examples: Examples, places: Array, objective: Objective, network: Network) -> Part:
    check_fits(examples.spec, tuple(network.model.inputs[0].shape[1:]))
    return Part(examples, places, as_targets(examples.labels, objective, network.model, name))
