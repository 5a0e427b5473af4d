"""Assembling: the base's reused layers and the recipe's head, as one network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import keras

from frostline_server.training.keras_names import make, snake_case
from frostline_server.training.recipe import Named, Recipe
from frostline_zoo.errors import InvalidError
from frostline_zoo.examples.spec import ExampleSpec
from frostline_zoo.graph import subgraph
from frostline_zoo.manifest import Manifest, TensorRef
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
    reused: tuple[str, ...] = ()
    if base is None:
        start = keras.Input(_input_shape(spec), name="input")
        inputs, tensors, layers = [start], {TensorRef("input"): start}, {}
        tensor, preprocessing = start, recipe.preprocessing
    else:
        kept = subgraph(base, recipe.reuse) if recipe.reuse or recipe.head else base
        if len(kept.outputs) != 1:
            raise InvalidError("the base has several outputs: name the layer that the head goes on in reuse.through")
        if len(kept.inputs) != 1:
            raise InvalidError("the base has several inputs: datasets hold examples of one")
        below = build(kept, read_blob)
        inputs, tensors, layers = below.model.inputs, below.tensors, below.layers
        reused = (kept.outputs[0].layer,)
        tensor, preprocessing = below.model.outputs[0], base.preprocessing
    # Seeded here, so that the head's weights depend on the recipe alone, not on how much was built before it.
    keras.utils.set_random_seed(recipe.seed)
    for part in recipe.head:
        layer = _make_layer(part, {*layers, inputs[0].name})
        tensor = _called(layer, tensor, part)
        layers[layer.name] = layer
        tensors[TensorRef(layer.name)] = tensor
    model = keras.Model(inputs[0], tensor)
    manifest = describe(model, preprocessing).manifest
    return Assembled(Network(manifest, model, layers, tensors), reused)


def _make_layer(part: Named, taken: Collection[str]) -> Any:
    plain = snake_case(part.name)
    names = itertools.chain([plain], (f"{plain}_{number}" for number in itertools.count(1)))
    free = next(name for name in names if name not in taken)
    layer = make("layer", part, name=free)
    if layer.name in taken:
        raise InvalidError(f"recipe: {part.path} is named {layer.name!r}, as another layer is: give it another name")
    return layer


def _called(layer: Any, tensor: Any, part: Named) -> Any:
    try:
        return layer(tensor)
    except Exception as error:  # Keras raises whatever its layers happen to
        shape = ", ".join("any" if side is None else str(side) for side in tensor.shape[1:])
        raise InvalidError(
            f"recipe: {part.path}: {part.name} does not fit on a tensor of shape ({shape}): "
            "put a layer between that changes the shape, such as Flatten",
            reason="SHAPE_MISMATCH",
        ) from error


def _input_shape(spec: ExampleSpec) -> tuple[int, ...]:
    if spec.is_image:
        raise InvalidError(
            "without a base the input's size is not known: use a base, or push the images as an array of one size"
        )
    return tuple(spec.shape)
