"""Keras Applications by name: `keras-applications:MobileNetV2?weights=imagenet&input_shape=96,96,3`.

Keras's own code builds the network and fetches its weights, whose hash it knows, into its cache on the server. Nothing
of it comes from whoever asks but the name and the arguments.
"""

from __future__ import annotations

import difflib
import inspect
import socket
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

import keras
import numpy as np
from keras.src.backend.common import global_state  # where Keras counts names it gives; it has no public name

from frostline_zoo.errors import FailedPreconditionError, InvalidError
from frostline_zoo.foreign.draft import Report
from frostline_zoo.networks.describe import describe
from frostline_zoo.networks.importer import Imported
from frostline_zoo.preprocessing import Preprocessing

SCHEME = "keras-applications:"
MAX_SOURCE_LENGTH = 500
FETCH_SECONDS = 30.0
_SEED = 0
_COUNTS = "object_name_uids"
# These have layers or operations that are not Keras's built-in layers.
_NOT_KEPT = ("ConvNeXt", "InceptionResNetV2", "MobileNetV3")
NETWORKS = tuple(
    name
    for name, value in sorted(vars(keras.applications).items())
    if inspect.isfunction(value) and name[0].isupper() and not name.startswith(_NOT_KEPT)
)


def _sides(text: str) -> tuple[int, ...]:
    return tuple(int(side) for side in text.split(","))


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _word(text: str) -> str | None:
    return None if text == "none" else text


_ARGUMENTS: dict[str, Callable[[str], Any]] = {
    "weights": lambda text: {"imagenet": "imagenet", "none": None}[text],
    "input_shape": _sides,
    "include_top": _truth,
    "classes": int,
    "pooling": lambda text: {"avg": "avg", "max": "max", "none": None}[text],
    "classifier_activation": _word,
    "alpha": float,
    "depth_multiplier": int,
    "include_preprocessing": _truth,
}


def take_in_application(source: str, preprocessing: Preprocessing | None = None) -> Imported:
    """Returns a network of Keras Applications.

    Args:
        source: `keras-applications:NAME`, and after a `?` arguments of that function of Keras with `&` between.
            `weights=none` draws random weights, the same every time.
        preprocessing: how an example becomes the network's input; the network's own where it is None.

    Raises:
        InvalidError: the source is not written so (UNKNOWN_SOURCE), there is no such network (UNKNOWN_NETWORK), it has
            more than built-in layers (UNSAFE_LAYER), or does not take the arguments (BAD_ARGUMENTS).
        FailedPreconditionError: the weights are not in the server's cache, and cannot be fetched (NOT_FETCHED).
    """
    name, arguments = parsed(source)
    function = getattr(keras.applications, name)
    weights = arguments.pop("weights", "imagenet")
    with _names_from_one(), _silent():
        model = _made(name, function, arguments, weights)
    own, notes = _own_preprocessing(function, model)
    described = describe(model, preprocessing or own)
    if weights is None:
        notes.append("the weights are random: train them")
    layers = described.manifest.layers
    matched = [f"{layer.name}/{parameter.name}" for layer in layers for parameter in layer.parameters]
    return Imported(described.manifest, described.blobs, notes, Report(matched=matched, notes=notes))


def parsed(source: str) -> tuple[str, dict[str, Any]]:
    """Returns the name and the arguments that a source holds.

    Raises:
        InvalidError: as `take_in_application`.
    """
    if not source.startswith(SCHEME) or len(source) > MAX_SOURCE_LENGTH:
        text = (
            f"{source[:80]!r} names no network: write {SCHEME}NAME, and arguments after a ?, or a hub's https address"
        )
        raise InvalidError(text, reason="UNKNOWN_SOURCE")
    name, _, query = source.removeprefix(SCHEME).partition("?")
    if name not in NETWORKS:
        if name.startswith(_NOT_KEPT) and hasattr(keras.applications, name):
            text = f"{name} of Keras Applications is made of more than built-in layers: take another"
            raise InvalidError(text, reason="UNSAFE_LAYER")
        near = difflib.get_close_matches(name, NETWORKS, 3, 0.4) or ["MobileNetV2", "ResNet50", "EfficientNetB0"]
        text = f"Keras Applications has no network {name[:80]!r}: did you mean {', '.join(near)}?"
        raise InvalidError(text, reason="UNKNOWN_NETWORK")
    taken = [key for key in inspect.signature(getattr(keras.applications, name)).parameters if key in _ARGUMENTS]
    arguments = {}
    for key, text in parse_qsl(query, keep_blank_values=True):
        if key not in taken:
            raise InvalidError(f"{name} takes no {key[:80]!r}: use {', '.join(taken)}", reason="BAD_ARGUMENTS")
        try:
            arguments[key] = _ARGUMENTS[key](text)
        except (ValueError, KeyError) as error:
            message = f"{key} of {name} cannot be {text[:80]!r}: docs/imports.md says what it can"
            raise InvalidError(message, reason="BAD_ARGUMENTS") from error
    return name, arguments


def _made(name: str, function: Callable[..., Any], arguments: dict[str, Any], weights: str | None) -> Any:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(FETCH_SECONDS)
    keras.utils.set_random_seed(_SEED)
    try:
        return function(**arguments, weights=weights)
    except (ValueError, TypeError) as error:
        given = ", ".join(f"{key}={value}" for key, value in arguments.items())
        message = f"{name} cannot be made with {given or 'no arguments'} and weights={weights}: change one of them"
        raise InvalidError(message, reason="BAD_ARGUMENTS") from error
    except Exception as error:  # Keras raises plain ones for what it cannot fetch
        message = (
            f"the weights of {name} cannot be fetched from here: let the server reach storage.googleapis.com, put them "
            "into its Keras cache, import a file of the network, or take random ones with ?weights=none"
        )
        raise FailedPreconditionError(message, reason="NOT_FETCHED") from error
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _names_from_one() -> Iterator[None]:
    """Within it, Keras names layers as in a new process, so that one network has the same names every time."""
    before = global_state.get_global_attribute(_COUNTS)
    global_state.set_global_attribute(_COUNTS, defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute(_COUNTS, before)


@contextmanager
def _silent() -> Iterator[None]:
    """Within it, Keras does not print what it downloads among the lines of the server's log."""
    before = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()
    try:
        yield
    finally:
        if before:
            keras.config.enable_interactive_logging()


def _own_preprocessing(function: Callable[..., Any], model: Any) -> tuple[Preprocessing, list[str]]:
    """Returns what Keras's `preprocess_input` for a network does, as factors and summands, and notes about it."""
    preprocess = sys.modules[function.__module__].preprocess_input  # type: ignore[attr-defined]
    channels = model.input_shape[-1]
    if channels != 3:
        return Preprocessing(), [f"the input has {channels} channels: say its preprocessing yourself"]
    black = preprocess(np.zeros((1, 1, 1, 3)), data_format="channels_last")[0, 0, 0]
    one_each = preprocess(np.eye(3).reshape(1, 1, 3, 3), data_format="channels_last")[0, 0] - black
    if np.count_nonzero(one_each - np.diag(np.diag(one_each))):  # blue, green, red
        blue_first = Preprocessing(tuple(np.diag(one_each[::-1]).tolist()), tuple(black.tolist()))
        return blue_first, ["its weights take blue, green, red: turn the channels of your images"]
    return Preprocessing(tuple(np.diag(one_each).tolist()), tuple(black.tolist())), []
