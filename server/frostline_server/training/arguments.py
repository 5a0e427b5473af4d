"""Arguments of Keras's things: which there are, and which one is wrong where Keras refuses them.

Keras's own refusals speak of its insides; here they name the argument, its value and what may stand there.
"""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from frostline_zoo.errors import InvalidError
from frostline_zoo.networks.allowed import ACTIVATIONS

Parameters = dict[str, inspect.Parameter]

_NOT_FOR_RECIPES = """
    self args kwargs dtype fn function layer backward_layer weights lora_rank lora_alpha quantization_config autocast
    trainable build_config bounding_box_format
"""
_COUNTS = """
    units filters input_dim output_dim n num_heads key_dim height width num_classes decay_steps first_decay_steps
    k depth_multiplier
"""
_SIDES = "kernel_size pool_size strides dilation_rate size output_size"
_SHARES = "rate dropout recurrent_dropout label_smoothing momentum ema_momentum"
_RATES = "initial_learning_rate end_learning_rate warmup_target"
_NUMBERS = frozenset(f"{_COUNTS} {_SIDES} {_SHARES} {_RATES} groups learning_rate".split())
_TAKES = {
    **dict.fromkeys(_COUNTS.split(), "write an integer from 1 up"),
    **dict.fromkeys(_SIDES.split(), "write an integer from 1 up, or a list of one for each side"),
    **dict.fromkeys(_SHARES.split(), "write a number from 0 to 1"),
    "groups": "write an integer from 1 up that divides filters",
    "learning_rate": "write a number from 0 up, or a learning rate schedule such as {CosineDecay: {...}}",
    **dict.fromkeys(_RATES.split(), "write a number from 0 up"),
    "reduction": "write sum_over_batch_size, sum, mean or none",
    "name": "write a text without /",
}


def parameters_of(kind: type) -> Parameters:
    """Returns the arguments that a recipe may give, with what a layer passes on to its base classes, such as `name`."""
    found: Parameters = {}
    for owner in (kind, *kind.__mro__[1:4]):
        own = inspect.signature(owner.__init__).parameters  # type: ignore[misc]
        # What a base class has to be given is given by `kind` itself, such as `rank` by Conv2D.
        found |= {
            name: own[name] for name in own if name not in found and (owner is kind or not _is_required(own[name]))
        }
        if "kwargs" not in own:
            break
    return {name: parameter for name, parameter in found.items() if name not in _NOT_FOR_RECIPES.split()}


def check_arguments(parameters: Parameters, given: Mapping[str, Any], place: str) -> None:
    """Checks that the arguments `given` are known, complete and of the kind that their defaults are.

    Args:
        parameters: those that there are.
        given: as the recipe has them.
        place: where the recipe has them, as in `head[0].Dense`.

    Raises:
        InvalidError: they are not; the message names the argument and what may stand there.
    """
    unknown = [key for key in given if key not in parameters]
    if unknown:
        near = difflib.get_close_matches(unknown[0], parameters, 1)
        meant = f"did you mean {near[0]}? It takes" if near else "use"
        named = ", ".join(f"{place}.{key}" for key in unknown)
        is_ = "is" if len(unknown) == 1 else "are"
        raise _refused(f"{named} {is_} unknown: {meant} {', '.join(parameters)}")
    missing = [name for name, parameter in parameters.items() if _is_required(parameter) and name not in given]
    if missing:
        raise _refused(f"{place}.{missing[0]} is missing: {_allowed(missing[0], parameters[missing[0]], {})}")
    for key, value in given.items():
        default = parameters[key].default
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        wrong_kind = (
            (isinstance(default, bool) and (is_number or isinstance(value, str)))
            or (type(default) in (int, float) and isinstance(value, str | bool))
            or (isinstance(default, str) and is_number)
            or (isinstance(value, bool) and key in _NUMBERS)
        )
        is_negative_rate = is_number and value < 0 and (key == "learning_rate" or key in _RATES.split())
        if wrong_kind or is_negative_rate:
            raise _refused(f"{place}.{key} is {_shown(value)}: {_allowed(key, parameters[key], {})}")


def refusal(
    kind: type,
    parameters: Parameters,
    arguments: Mapping[str, Any],
    given: Mapping[str, Any],
    place: str,
    choices: Mapping[str, list[str]],
) -> InvalidError:
    """Returns what is to be said where Keras does not make a thing: the arguments that it refuses.

    Args:
        kind: its class.
        parameters: as `parameters_of` returns them.
        arguments: as Keras is given them.
        given: as the recipe has them.
        place: where the recipe has them.
        choices: the names that an argument can hold, by the last word of its own: `initializer`, ...
    """
    needed = {key: value for key, value in arguments.items() if key not in given or _is_required(parameters[key])}
    if not _is_made(kind, needed):
        suspects = [key for key in given if key in needed]
        wrong = [key for key in suspects if _is_made(kind, {**needed, key: 1})] or suspects
    else:
        wrong = [key for key in given if key not in needed and not _is_made(kind, {**needed, key: arguments[key]})]
    said = [f"{place}.{key} is {_shown(given[key])}: {_allowed(key, parameters[key], choices)}" for key in wrong]
    return _refused("; ".join(said) or f"{place}: {', '.join(given)} do not go together: change or leave out some")


def _is_made(kind: type, arguments: Mapping[str, Any]) -> bool:
    with suppress(Exception):  # Keras raises whatever it happens to
        kind(**arguments)
        return True
    return False


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is inspect.Parameter.empty


def _allowed(key: str, parameter: inspect.Parameter, choices: Mapping[str, list[str]]) -> str:
    default, kind = parameter.default, key.rpartition("_")[2]
    if kind == "activation":
        return f"use {', '.join(sorted(ACTIVATIONS))}"
    if kind in choices:
        return f"use {', '.join(choices[kind])}"
    if isinstance(default, bool):
        return "write true or false"
    if key in _TAKES:
        return _TAKES[key]
    if key == "padding" and isinstance(default, str):
        return "write valid or same"
    if isinstance(default, str):
        return f"write a word, such as {default}"
    if isinstance(default, int | float):
        return f"write {'a number' if isinstance(default, float) else 'an integer'}, such as {default}"
    if isinstance(default, tuple):
        return f"write numbers, such as {json.dumps(default)}"
    return "give it a value that Keras takes" if _is_required(parameter) else "write another value, or leave it out"


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refused(message: str) -> InvalidError:
    return InvalidError(f"recipe: {message}", reason="BAD_RECIPE")
