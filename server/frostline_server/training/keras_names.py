"""Keras's things by their Keras names and arguments, as recipes write them.

    Adam                                            an optimizer with its defaults
    {Adam: {learning_rate: 0.01}}                   with arguments
    {Dense: {units: 5, kernel_regularizer: {L2: {l2: 0.001}}}}   an argument that is itself such a thing

A name stands for one of Keras's own classes and for nothing else, so a recipe can run no code.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import random
import re
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import keras
import numpy as np

from frostline_server.training.arguments import check_arguments, parameters_of, refusal
from frostline_server.training.named import Named
from frostline_zoo.errors import InvalidError
from frostline_zoo.networks.allowed import LAYERS

_MODULES: dict[str, tuple[ModuleType, type]] = {
    "optimizer": (keras.optimizers, keras.optimizers.Optimizer),
    "learning rate schedule": (keras.optimizers.schedules, keras.optimizers.schedules.LearningRateSchedule),
    "loss": (keras.losses, keras.losses.Loss),
    "metric": (keras.metrics, keras.metrics.Metric),
    "initializer": (keras.initializers, keras.initializers.Initializer),
    "regularizer": (keras.regularizers, keras.regularizers.Regularizer),
    "constraint": (keras.constraints, keras.constraints.Constraint),
}
_ALIASES = {
    "loss": {"mse": "MeanSquaredError", "mae": "MeanAbsoluteError", "msle": "MeanSquaredLogarithmicError"},
    "metric": {"mse": "MeanSquaredError", "mae": "MeanAbsoluteError"},
}
_WRAPPED = {"layer", "fn", "inner_optimizer", "optimizer_map"}
"""Arguments that are a layer, a function or optimizers, as wrappers have: recipes cannot write one."""
_ARGUMENT_KINDS = ("initializer", "regularizer", "constraint", "learning rate schedule")


def seed_layers(seed: int) -> None:
    """Seeds the initial weights and the chance of all layers that are made from now on.

    Keras draws their seeds from Python's generator. `keras.utils.set_random_seed` seeds that too, but has TensorFlow
    let go of every kernel that it has prepared, which later programs would wait for.
    """
    random.seed(seed)


def reseed_layers(layers: Iterable[keras.Layer], seed: int) -> None:
    """Gives layers that exist the chance that follows from the seed, whatever they drew it from when they were made."""
    for place, layer in enumerate(layers):
        states = [variable for variable in layer.variables if variable.name == "seed_generator_state"]
        for number, state in enumerate(states):
            state.assign(np.random.SeedSequence([seed, 2, place, number]).generate_state(2))


@functools.cache
def names_of(kind: str) -> dict[str, type]:
    """Returns the classes of one kind, "layer" or a key above, by name, without those that no recipe can make."""
    if kind == "layer":
        found = LAYERS
    else:
        module, base = _MODULES[kind]
        classes = {name: value for name, value in vars(module).items() if inspect.isclass(value)}
        found = {name: each for name, each in classes.items() if issubclass(each, base) and each is not base}
    return {name: each for name, each in found.items() if not _WRAPPED & inspect.signature(each).parameters.keys()}


def make(kind: str, named: Named, **defaults: Any) -> Any:
    """Makes the named thing; `defaults` fill in what its arguments leave out.

    Raises:
        InvalidError: there is no such name, an argument is unknown or refused by Keras; the message says where.
    """
    place = f"recipe: {named.path}" if named.path else f"recipe: {kind}"
    choices = names_of(kind)
    name = _ALIASES.get(kind, {}).get(named.name, named.name)
    snake = {snake_case(choice): choice for choice in choices}
    name = name if name in choices else snake.get(name, name)
    if name not in choices:
        near = difflib.get_close_matches(name, choices, 1)
        meant = f"did you mean {near[0]}? Use" if near else "use"
        raise InvalidError(f"{place}: {named.name!r} is not a known {kind}: {meant} {', '.join(sorted(choices))}")
    below = f"{named.path or kind}.{name}"
    parameters = parameters_of(choices[name])
    check_arguments(parameters, named.arguments, below)
    given = {key: _argument(value, f"{below}.{key}") for key, value in named.arguments.items()}
    if type(given.get("learning_rate")) is int:
        given["learning_rate"] = float(given["learning_rate"])  # Keras takes 1.0, and not 1
    arguments = {**defaults, **given}
    try:
        return choices[name](**arguments)
    except Exception as error:
        names = {kind: sorted(names_of(kind)) for kind in _ARGUMENT_KINDS}
        raise refusal(choices[name], parameters, arguments, named.arguments, below, names) from error


def _argument(value: Any, path: str) -> Any:
    if isinstance(value, dict) and len(value) == 1:
        name = next(iter(value))
        for kind in _ARGUMENT_KINDS:
            if name in names_of(kind) or name in map(snake_case, names_of(kind)):
                return make(kind, Named(name, value[name] or {}, path))
        raise InvalidError(f"recipe: {path}: {name!r} is not an {', '.join(_ARGUMENT_KINDS)}")
    if isinstance(value, list):
        return tuple(_argument(item, path) for item in value)
    return value


def snake_case(name: str) -> str:
    """Returns a class's name as Keras spells it for its instances: `SeparableConv2D` -> `separable_conv2d`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])", "_", name).lower()
