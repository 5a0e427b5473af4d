"""Augmentation: which views of its examples each stage of a recipe trains on, and what views cannot be had of.

Epoch e of a stage takes view 1 + e % K of every training example; validation examples are always taken as they are,
which is view 0. A random layer above the cut needs no views: it is part of the head, and draws anew in each epoch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from frostline_server.training.recipe import Recipe
from frostline_zoo.errors import InvalidError
from frostline_zoo.graph import Cut
from frostline_zoo.identity import RANDOM_IMAGE_LAYERS
from frostline_zoo.manifest import Layer, Manifest
from frostline_zoo.networks.build import Network

DEFAULT_VIEWS = 4


@dataclass(frozen=True)
class Views:
    """How many views of an example a stage takes: 0: the example as it is; None: another one in every epoch."""

    count: int | None

    def of_epoch(self, epoch: int) -> int:
        """Returns the view that epoch `epoch` (from 0) takes of every training example."""
        if self.count == 0:
            return 0
        return 1 + (epoch if self.count is None else epoch % self.count)


def views_of(recipe: Recipe, manifest: Manifest, cut: Cut) -> Views:
    """Returns the views that a stage with this cut takes."""
    if not _random_layers(manifest, cut) or not (recipe.views or recipe.augment):
        return Views(0)
    if not recipe.cached:
        return Views(None)
    return Views(recipe.views or DEFAULT_VIEWS)


def unused_randomness(recipe: Recipe, manifest: Manifest, cut: Cut) -> str | None:
    """Returns a line for people where the base has random layers below the cut that the recipe lets rest."""
    resting = _random_layers(manifest, cut)
    if not resting or recipe.views or recipe.augment:
        return None
    return (
        f"{_listed(resting)} below the cut of the base does nothing: write cache: {{views: {DEFAULT_VIEWS}}} "
        "to train on random views of the examples"
    )


def check_views(recipe: Recipe, network: Network, cuts: Iterable[Cut]) -> None:
    """Refuses views that cannot be had.

    Raises:
        InvalidError: views are asked for where nothing random lies below a cut, or of a layer above it; a random layer
            below a cut has no seed, or is not called on images.
    """
    manifest = network.manifest
    random = [layer for layer in manifest.layers if layer.class_name in RANDOM_IMAGE_LAYERS]
    below = {layer.name for cut in cuts for layer in _random_layers(manifest, cut)}
    above = [layer for layer in random if layer.name not in below]
    if recipe.views > 1 and above:
        raise InvalidError(
            f"recipe: cache.views is {recipe.views}, but {_listed(above)} lies above the cut, where it draws anew in "
            "every epoch: freeze a layer above it, or leave views out",
            reason="NO_VIEWS",
        )
    if recipe.views > 1 and not below:
        raise InvalidError(
            f"recipe: cache.views is {recipe.views}, but nothing random lies below the cut: add augment, or leave "
            "views out",
            reason="NO_VIEWS",
        )
    if not (recipe.views or recipe.augment):
        return
    for layer in random:
        if layer.name in below and layer.config.get("seed") is None:
            raise InvalidError(
                f"layer {layer.name!r} draws at random without a seed, so its views could not be had again: give it a "
                "seed from 0 to 2147483647 and save the base again, or train without views and augment",
                reason="NO_SEED",
            )
        called = [tensor for ref, tensor in network.tensors.items() if ref.layer == layer.name]
        if layer.name in below and any(len(tensor.shape) != 4 for tensor in called):
            raise InvalidError(
                f"layer {layer.name!r} is not called on images, so there are no views of it: train without views",
                reason="NO_VIEWS",
            )


def _random_layers(manifest: Manifest, cut: Cut) -> list[Layer]:
    """Returns the random image layers below the cut."""
    frozen = (layer for layer in manifest.layers if layer.name in cut.frozen)
    return [layer for layer in frozen if layer.class_name in RANDOM_IMAGE_LAYERS]


def _listed(layers: list[Layer]) -> str:
    return ", ".join(repr(layer.name) for layer in layers)
