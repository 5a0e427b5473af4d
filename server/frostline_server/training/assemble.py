"""Assembling: the recipe's augmentation, the base's reused layers and the recipe's head, as one network."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from frostline_server.engine.forward import can_run
from frostline_server.training.keras_names import make, reseed_layers, seed_layers, snake_case
from frostline_server.training.named import Named
from frostline_server.training.recipe import Recipe
from frostline_server.training.surgery import operate
from frostline_server.training.zoo import ZooAccess
from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.examples.spec import ExampleSpec
from frostline_zoo.graph import calls_in_order
from frostline_zoo.identity import RANDOM_IMAGE_LAYERS
from frostline_zoo.manifest import Layer, Manifest, TensorRef
from frostline_zoo.networks.build import Network, replay, single
from frostline_zoo.networks.describe import describe
from frostline_zoo.networks.weights import MAX_PARAMETER_BYTES, check_size, declared, fill
from frostline_zoo.surgery import shown

_PLAIN = ("Dense", "Flatten", "Dropout", "BatchNormalization", "Activation", "Conv2D", "MaxPooling2D")


@dataclass(frozen=True)
class Assembled:
    """A network to train.

    Attributes:
        network: all of it; its manifest says what each layer is before training.
        reused: the base's layers in it that are frozen where a stage does not say; empty where there is no base.
    """

    network: Network
    reused: tuple[str, ...]


def assemble(recipe: Recipe, base: Manifest | None, spec: ExampleSpec, zoo: ZooAccess) -> Assembled:
    """Returns the network that the recipe describes, its new layers initialised from the recipe's seed.

    Args:
        recipe: what to build.
        base: the manifest of the recipe's base.
        spec: what the examples are; without a base they say what the input is.
        zoo: where layers come from.

    Raises:
        NotFoundError: the zoo has no model that a layer is to be taken from.
        InvalidError: a layer is unknown or does not fit on the one below; the message names it.
    """
    reused: tuple[str, ...] = ()
    kept: Manifest | None = None
    known: dict[str, Layer] = {}
    if base is None:
        start = keras.Input(_input_shape(spec), name="input")
        tensors, layers, top = {TensorRef("input"): start}, {}, [start]
        preprocessing = recipe.preprocessing
    else:
        operated = operate(recipe, base, zoo)
        below, reused, kept = operated.network, operated.reused, operated.network.manifest
        if not recipe.reuse.changes:
            known = {layer.name: layer for layer in kept.layers}
        if len(kept.outputs) != 1 and not recipe.head:
            names = ", ".join(dict.fromkeys(ref.layer for ref in kept.outputs))
            raise InvalidError(
                f"the base has several outputs, of the layers {names}, and an example has one label: name the one to "
                "train in reuse.through, or put a head on them",
                reason="SEVERAL_OUTPUTS",
            )
        if len(kept.inputs) != 1:
            raise InvalidError("the base has several inputs: datasets hold examples of one")
        reseed_layers(below.layers.values(), recipe.seed)
        start, tensors, layers = below.model.inputs[0], below.tensors, below.layers
        top, preprocessing = below.model.outputs, kept.preprocessing
    if recipe.augment:
        changed = start
        for place, part in enumerate(recipe.augment):
            layer = _make_augmentation(part, place, changed, {*layers, start.name})
            changed = layer(changed)
            layers[layer.name], tensors[TensorRef(layer.name)] = layer, changed
        top = [changed]
        if kept is not None:  # the base's calls once more, on what augmentation puts out
            made = {TensorRef(start.name): changed}
            replay(kept, calls_in_order(kept), layers, made)
            top = [made[ref] for ref in kept.outputs]
            tensors |= made | {TensorRef(start.name): start}
    # Seeded here, so that the head's weights depend on the recipe alone, not on how much was built before it.
    seed_layers(recipe.seed)
    new = []
    for part in recipe.head:
        layer = _make_layer(part, {*layers, start.name})
        below_it, top = top, [_called(layer, top, part, layers.values())]
        new.append((layer, part, below_it, top[0]))
        layers[layer.name] = layer
        tensors[TensorRef(layer.name)] = top[0]
    for layer, part, below_it, output in new:
        _initialize(layer, part)
        if not _is_plain(layer, part) and not can_run(layer, below_it, output):
            raise _misfit(part, below_it)
    model = keras.Model(start, single(top))
    manifest = replace(describe(model, preprocessing, known=known).manifest, origins=kept.origins if kept else {})
    return Assembled(Network(manifest, model, layers, tensors), reused)


def _make_augmentation(part: Named, place: int, images: Any, taken: Collection[str]) -> Any:
    """Returns the random image layer at `place` in the recipe's list, which is its seed where it has none of its own.

    Raises:
        InvalidError: it is another layer, or draws nothing for such images.
    """
    name = next((each for each in RANDOM_IMAGE_LAYERS if part.name in (each, snake_case(each))), part.name)
    if name not in RANDOM_IMAGE_LAYERS:
        reason = _NOT_FOR_AUGMENTING.get(name, "is not a layer that changes images at random")
        raise InvalidError(
            f"recipe: {part.path}: {part.name} {reason}: use {', '.join(sorted(RANDOM_IMAGE_LAYERS))}",
            reason="BAD_RECIPE",
        )
    shape = tuple(images.shape[1:])
    if len(shape) != 3:
        raise InvalidError(
            f"recipe: {part.path}: {name} changes images, and the network's input has the shape {shown(shape)}: leave "
            "augment out, or use a base that takes images of height, width and channels",
            reason="SHAPE_MISMATCH",
        )
    seeded = {"seed": place} | {key: value for key, value in part.arguments.items() if value is not None}
    if type(seeded["seed"]) is not int or not 0 <= seeded["seed"] < 2**31:
        text = f"recipe: {part.path}.{name}.seed is {seeded['seed']!r}: write an integer from 0 to {2**31 - 1}"
        raise InvalidError(text, reason="BAD_RECIPE")
    layer = _make_layer(Named(name, seeded, part.path), taken)
    if name == "RandomFlip" and layer.mode not in _FLIPS:  # Keras takes any word, and then flips nothing
        text = f"recipe: {part.path}.RandomFlip.mode is {layer.mode!r}: write {', '.join(_FLIPS)}"
        raise InvalidError(text, reason="BAD_RECIPE")
    try:  # a layer for colours takes any shape until it draws
        make("layer", Named(name, seeded, part.path))(np.zeros([1, *(side or 8 for side in shape)]), training=True)
    except Exception as error:  # Keras raises whatever its layers happen to
        raise InvalidError(
            f"recipe: {part.path}: {name} cannot change images of {shape[-1]} channels: leave it out, or use one that "
            "takes any, such as RandomFlip",
            reason="SHAPE_MISMATCH",
        ) from error
    return layer


_FLIPS = ("horizontal", "vertical", "horizontal_and_vertical")
_NOT_FOR_AUGMENTING = {
    "MixUp": "mixes examples, and a view is of one",
    "CutMix": "mixes examples, and a view is of one",
    "AugMix": "puts other layers together: list those that you want",
    "RandAugment": "puts other layers together: list those that you want",
    "RandomCrop": "crops nothing in inference mode, so training and validation would differ in size",
    "RandomElasticTransform": "draws once for a whole batch, and a view is of one example",
    "RandomGaussianBlur": "draws once for a whole batch, and a view is of one example",
    "RandomShear": "cannot be read back by Keras once it is saved",
}


def _make_layer(part: Named, taken: Collection[str]) -> Any:
    plain = snake_case(part.name)
    names = itertools.chain([plain], (f"{plain}_{number}" for number in itertools.count(1)))
    free = next(name for name in names if name not in taken)
    layer = make("layer", part, name=free)
    if layer.name in taken:
        raise InvalidError(f"recipe: {part.path} is named {layer.name!r}, as another layer is: give it another name")
    return layer


def _is_plain(layer: Any, part: Named) -> bool:
    """Whether a layer is one of those that Keras itself refuses where they do not fit: to compile it takes a moment."""
    return type(layer).__name__ in _PLAIN and not {"axis", "noise_shape"} & part.arguments.keys()


def _misfit(part: Named, tensors: list[Any]) -> InvalidError:
    shapes = ", ".join(shown(tuple(tensor.shape[1:])) for tensor in tensors)
    several = len(tensors) > 1
    where = f"on {len(tensors)} tensors of shapes {shapes}" if several else f"on a tensor of shape {shapes}"
    mend = (
        "begin the head with a layer that joins them, such as Concatenate, or name one layer in reuse.through"
        if several
        else "put a layer between that changes the shape, such as Flatten"
    )
    text = f"recipe: {part.path}: {part.name} does not fit {where}: {mend}"
    return InvalidError(text, reason="SHAPE_MISMATCH", key=part.path)


def _initialize(layer: Any, part: Named) -> None:
    try:
        fill(layer, {})
    except Exception as error:  # Keras's initializers raise whatever they happen to
        kind = type(layer).__name__
        text = f"recipe: {part.path}: an initializer of {kind} cannot make weights of their shapes: choose another one"
        raise InvalidError(text, reason="BAD_RECIPE", key=part.path) from error


def _called(layer: Any, tensors: list[Any], part: Named, others: Collection[Any]) -> Any:
    """Returns what a new layer makes of tensors; its weights are declared, and take no memory yet."""
    try:
        with declared():
            made = layer(single(tensors))
    except Exception as error:  # Keras raises whatever its layers happen to
        _check_size(layer, part, others)
        raise _misfit(part, tensors) from error
    _check_size(layer, part, others)
    if isinstance(made, list | tuple):
        text = (
            f"recipe: {part.path}: {part.name} puts out {len(made)} tensors, and the head goes on from one: have it put"
        )
        raise InvalidError(f"{text} out its result alone, as without return_state", reason="SEVERAL_OUTPUTS")
    return made


def _check_size(layer: Any, part: Named, others: Collection[Any]) -> None:
    try:
        check_size([*others, layer])
    except ExhaustedError as error:
        limit = f"at most {MAX_PARAMETER_BYTES >> 30} GiB of weights are taken"
        text = f"recipe: {part.path}: {part.name} makes the network too large, {limit}: write smaller numbers"
        raise InvalidError(text, reason="LIMIT_PARAMS") from error


def _input_shape(spec: ExampleSpec) -> tuple[int, ...]:
    if spec.is_image:
        raise InvalidError(
            "without a base the input's size is not known: use a base, or push the images as an array of one size"
        )
    return tuple(spec.shape)
