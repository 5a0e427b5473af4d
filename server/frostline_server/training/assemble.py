"""Assembling: the base's reused layers and the recipe's head, as one network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from frostline_server.training.keras_names import make, snake_case
from frostline_server.training.recipe import Named, Recipe
from frostline_zoo.errors import InvalidError
from frostline_zoo.examples.spec import ExampleSpec
from frostline_zoo.graph import subgraph
from frostline_zoo.manifest import Manifest
from frostline_zoo.networks.build import Network, build
from frostline_zoo.networks.describe import describe


@dataclass(frozen=True)
class Assembled:
    """A network to train.

    Attributes:
        network: all of it; its manifest says what each layer is before training.
        reused: the last of the base's layers in it; empty where there is no base.
    """

    network: Network
    reused: tuple[str, ...]


def assemble(recipe: Recipe, base: Manifest | None, spec: ExampleSpec, read_blob: Callable[[str], bytes]) -> Assembled:
    """Returns the network that the recipe describes, its new layers initialised from the recipe's seed.

    Args:
        recipe: what to build.
        base: the manifest of the recipe's base.
        spec: what the examples are; without a base they say what the input is.
        read_blob: reads a layer's weights.

    Raises:
        InvalidError: a layer is unknown or does not fit on the one below; the message names it.
    """
    if base is None:
        tensor = keras.Input(_input_shape(spec), name="input")
        inputs, reused, preprocessing = [tensor], (), recipe.preprocessing
    else:
        kept = subgraph(base, recipe.reuse) if recipe.reuse or recipe.head else base
        if len(kept.outputs) != 1:
            raise InvalidError("the base has several outputs: name the layer that the head goes on in reuse.through")
        model = build(kept, read_blob).model
        inputs, tensor, preprocessing = model.inputs, model.outputs[0], base.preprocessing
        reused = tuple(dict.fromkeys(output.layer for output in kept.outputs))
        if len(inputs) != 1:
            raise InvalidError("the base has several inputs: datasets hold examples of one")
    # Seeded here, so that the head's weights depend on the recipe alone, not on how much was built before it.
    keras.utils.set_random_seed(recipe.seed)
    taken = {layer.name for layer in (keras.Model(inputs, tensor).layers if base else [])} | {"input"}
    for part in recipe.head:
        tensor = _put_on(tensor, part, taken)
    model = keras.Model(inputs, tensor)
    layers = {layer.name: layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)}
    return Assembled(Network(describe(model, preprocessing).manifest, model, layers), reused)


def _put_on(tensor: Any, part: Named, taken: set[str]) -> Any:
    layer = make("layer", Named(part.name, {"name": _free_name(part, taken), **part.arguments}, part.path))
    if layer.name in taken:
        raise InvalidError(f"recipe: {part.path} is named {layer.name!r}, as another layer is: give it another name")
    taken.add(layer.name)
    try:
        return layer(tensor)
    except Exception as error:
        shape = ", ".join("any" if side is None else str(side) for side in tensor.shape[1:])
        raise InvalidError(
            f"recipe: {part.path}: {part.name} does not fit on a tensor of shape ({shape}): "
            "put a layer between that changes the shape, such as Flatten",
            reason="SHAPE_MISMATCH",
        ) from error


def _free_name(part: Named, taken: set[str]) -> str:
    plain = snake_case(part.name)
    name, number = plain, 1
    while name in taken:
        name, number = f"{plain}_{number}", number + 1
    return name


def _input_shape(spec: ExampleSpec) -> tuple[int, ...]:
    if spec.kind == "image":
        raise InvalidError(
            "without a base the input's size is not known: use a base, or push the images as an array of one size"
        )
    return tuple(spec.shape)
