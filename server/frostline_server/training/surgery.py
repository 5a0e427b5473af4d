"""Surgery on a recipe's base: what `reuse` keeps of it, changed as `reuse` says, and built."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from frostline_server.training.keras_names import make, seed_layers, snake_case
from frostline_server.training.named import Named, Taken
from frostline_server.training.place import named_by
from frostline_server.training.recipe import Recipe
from frostline_server.training.reuse import Reuse
from frostline_server.training.zoo import ZooAccess
from frostline_zoo.errors import InvalidError
from frostline_zoo.graph import subgraph
from frostline_zoo.identity import layer_digest
from frostline_zoo.manifest import Layer, Manifest
from frostline_zoo.networks.build import Network, build
from frostline_zoo.networks.describe import checked_name, config_of
from frostline_zoo.networks.surgeon import build_changed, shapes_of
from frostline_zoo.networks.weights import declared
from frostline_zoo.surgery import below, dropped, inserted, layer_at, renamed, replaced, shown, with_input

T = TypeVar("T")


@dataclass(frozen=True)
class Operated:
    """What is reused of a base.

    Attributes:
        network: built; its manifest names the origins of layers taken from other models.
        reused: the layers that are frozen where a stage does not say: all that no new layer has a part in.
    """

    network: Network
    reused: tuple[str, ...]


def kept_part(reuse: Reuse, has_head: bool, base: Manifest) -> Manifest:
    """Returns the part of the base that a recipe keeps, before surgery.

    Raises:
        InvalidError: the base has no such layer, or nothing is left.
    """
    if reuse.through:
        with named_by("reuse.through"):
            return subgraph(base, *(layer_at(base, place).name for place in reuse.through))
    return subgraph(base) if has_head else base


def operate(recipe: Recipe, base: Manifest, zoo: ZooAccess) -> Operated:
    """Returns what the recipe reuses of its base, changed as it says; new layers are initialised from its seed.

    Raises:
        NotFoundError: the zoo has no model that a layer is to be taken from.
        InvalidError: a layer is unknown or does not fit on what feeds it; the message has the shapes on both sides.
    """
    kept = kept_part(recipe.reuse, bool(recipe.head), base)
    if not recipe.reuse.changes:
        network = zoo.built.network_of(kept, zoo.blobs.get, build)
        return Operated(network, tuple(ref.layer for ref in kept.outputs))
    asked = recipe.reuse.input
    try:
        return _Operation(recipe, base, kept, zoo).done()
    except InvalidError as error:
        if asked is None or asked.resize is None or error.reason != "SHAPE_MISMATCH":
            raise
    own = replace(recipe, reuse=replace(recipe.reuse, input=None))
    _check_resizes(asked.shape, kept)
    kept = replace(kept, preprocessing=replace(kept.preprocessing, interpolation=asked.resize))
    return _Operation(own, base, kept, zoo).done()


class _Operation:
    """One surgery: what it makes, and where the layers come from."""

    def __init__(self, recipe: Recipe, base: Manifest, kept: Manifest, zoo: ZooAccess) -> None:
        self._reuse = recipe.reuse
        self._base = base
        self._kept = kept
        self._zoo = zoo
        self._names = dict(self._once([(place, checked_name(new)) for place, new in recipe.reuse.rename], "rename"))
        self._donors = {layer.name: (kept, layer.name) for layer in kept.layers}
        self._origins: dict[str, str] = {}
        self._new: dict[str, Any] = {}
        # Another stream than the head's, whose first weights stay those that they would be without surgery.
        seed_layers(int(np.random.SeedSequence([recipe.seed, 1]).generate_state(1)[0]))

    def done(self) -> Operated:
        manifest, reuse = self._kept, self._reuse
        if reuse.input is not None:
            manifest = with_input(manifest, reuse.input.shape)
        drop = [self._name(place, "drop") for place in reuse.drop]
        swapped = self._once(reuse.replace, "replace")
        behind = [(self._name(each.after, "insert"), each.layer) for each in reuse.insert]
        for name in [*self._names, *(name for name, _ in swapped), *(name for name, _ in behind)]:
            if name in drop:
                raise _bad(f"reuse.drop takes layer {name!r} out, and something else in reuse names it: choose one")
        for name, new in swapped:
            manifest = replaced(manifest, name, self._made(new, name))
        layers = [(name, self._made(new, self._free_name(new))) for name, new in behind]
        for name, layer in reversed(layers):  # of several behind one layer, the first listed is the lowest
            manifest = inserted(manifest, name, layer)
        if drop:
            manifest = dropped(manifest, drop, lambda: shapes_of(self._kept))
        manifest = renamed(manifest, {old: new for old, new in self._names.items() if manifest.layer(old)})
        left = {layer.name for layer in manifest.layers}
        manifest = replace(manifest, origins={name: self._origins[name] for name in sorted(left & set(self._origins))})
        fresh = {name: layer for name, layer in self._new.items() if name in left}
        donors = {self._names.get(name, name): donor for name, donor in self._donors.items()}
        network = build_changed(manifest, self._zoo.blobs.get, fresh, donors)
        frozen = below(manifest, fresh) if fresh else tuple(ref.layer for ref in manifest.outputs)
        return Operated(network, frozen)

    def _made(self, part: Named | Taken, name: str) -> Layer:
        """Returns the layer that a recipe describes, to stand in the graph as `name` until layers are renamed."""
        final = self._names.get(name, name)
        if isinstance(part, Taken):
            donor, layer = self._donor(part, name)
            self._donors[name] = (donor, layer.name)
            if donor.digest != self._base.digest:
                self._origins[final] = donor.digest
            return replace(layer, name=name, calls=())
        self._donors.pop(name, None)
        with declared():  # a layer may hold variables, such as a seed, before it is called
            self._new[final] = made = make("layer", part, name=final)
        if made.name != final:
            raise _bad(f"{part.path}.{part.name}.name is {made.name!r}: leave it out, and use reuse.rename")
        class_name, config = type(made).__name__, config_of(made, name)
        return Layer(name, class_name, config, layer_digest(class_name, config, None), None, (), True, ())

    def _donor(self, part: Taken, name: str) -> tuple[Manifest, Layer]:
        """Returns the model that a layer is taken from, and the layer: that of `name` where the recipe names none."""
        donor = self._zoo.manifest_of(part.model)
        with named_by(f"{part.path}.layer"):
            return donor, layer_at(donor, name if part.layer is None else part.layer)

    def _free_name(self, part: Named | Taken) -> str:
        """Returns the name of an inserted layer: its own where it has one, else one that no layer has."""
        if isinstance(part, Named) and isinstance(given := part.arguments.get("name"), str):
            return given
        plain = snake_case(part.name) if isinstance(part, Named) else self._donor(part, "")[1].name
        taken = {entry.name for entry in self._kept.inputs} | {*self._donors, *self._new, *self._names.values()}
        names = itertools.chain([plain], (f"{plain}_{number}" for number in itertools.count(1)))
        return next(name for name in names if name not in taken)

    def _once(self, pairs: Iterable[tuple[str, T]], key: str) -> list[tuple[str, T]]:
        """Returns the pairs by their layers' names, of which none may stand twice."""
        named = [(self._name(place, key), value) for place, value in pairs]
        names = [name for name, _ in named]
        if twice := [name for name in names if names.count(name) > 1]:
            raise _bad(f"reuse.{key} names layer {twice[0]!r} twice: leave one out")
        return named

    def _name(self, place: str | int, key: str) -> str:
        """Returns the name of the layer, or for `insert` the input, that a recipe means, which must be reused."""
        if key == "insert" and place in [entry.name for entry in self._kept.inputs]:
            return str(place)
        if key in ("replace", "rename") and self._base.layer(str(place)) is None:  # keys of an object are texts
            place = int(place) if re.fullmatch(r"-?\d{1,9}", str(place)) else place
        with named_by(f"reuse.{key}"):
            name = layer_at(self._base, place).name
        if self._kept.layer(name) is None:
            raise _bad(f"reuse.{key} names layer {name!r}, which is not among those reused: reuse through it, or above")
        return name


def _check_resizes(shape: tuple[int | None, ...], kept: Manifest) -> None:
    own = kept.inputs[0].shape
    if len(own) != 3 or len(shape) != 3 or own[2] != shape[2]:
        text = f"reuse.input.resize changes height and width, and cannot make {shown(own)} of {shown(shape)}"
        raise InvalidError(f"recipe: {text}: leave reuse.input out", reason="SHAPE_MISMATCH")


def _bad(text: str) -> InvalidError:
    return InvalidError(f"recipe: {text}", reason="BAD_RECIPE")
