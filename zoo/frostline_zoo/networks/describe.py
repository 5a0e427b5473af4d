"""Keras to manifests: any functional or sequential model, as its graph, its layers and their blobs.

Nested models are flattened: their layers become `outer.inner`, and a nested model that is called twice becomes shared
layers with two calls. What cannot be kept is refused, never dropped.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from keras.src.models.functional import Functional  # the class of functional models; it has no public name

from frostline_zoo.digests import digest_of
from frostline_zoo.errors import InvalidError
from frostline_zoo.graph import in_order
from frostline_zoo.identity import layer_digest
from frostline_zoo.manifest import Call, Input, Layer, Manifest, TensorRef
from frostline_zoo.networks.allowed import LAYERS, checked_config, unsafe
from frostline_zoo.networks.weights import named_weights, parameters_of
from frostline_zoo.preprocessing import Preprocessing
from frostline_zoo.tensors import Array, encode_tensors

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")


@dataclass(frozen=True)
class Description:
    """A network as data: its manifest, and the bytes of each layer blob by digest."""

    manifest: Manifest
    blobs: dict[str, bytes]


_AS_IS = Preprocessing()


def _current_value(variable: Any) -> Array:
    value: Array = keras.ops.convert_to_numpy(variable)
    return value


def describe(
    model: Any,
    preprocessing: Preprocessing = _AS_IS,
    parent: str | None = None,
    job: str | None = None,
    value_of: Callable[[Any], Array] = _current_value,
    known: Mapping[str, Layer] = MappingProxyType({}),
) -> Description:
    """Returns a Keras model as a manifest and blobs.

    Args:
        model: a built functional or sequential Keras model.
        preprocessing: how an example becomes its input.
        parent: the digest of the version it was made from.
        job: `jobs/{job}` that made it.
        value_of: gives a variable's value, for a network that was declared but never filled.
        known: layers, by name, that are as these say but for their calls: they are not looked at, and give no blobs.

    Raises:
        InvalidError: the model is neither functional nor sequential, is not built, or holds what a manifest cannot: a
            layer not on the allow-list, an operation that is no layer, a sparse input, a call with training=True.
    """
    if not _is_model(model):
        raise InvalidError(
            "only functional and sequential networks can be kept: build it as one", reason="UNSAFE_LAYER"
        )
    if not getattr(model, "inputs", None):
        raise InvalidError("the network has no input shape: build it for one", reason="NOT_BUILT")
    walk = _Walk()
    inputs, bound = [], {}
    for tensor in model.inputs:
        name = walk.unique(checked_name(tensor._keras_history.operation.name))
        if getattr(tensor, "sparse", False) or getattr(tensor, "ragged", False):
            raise InvalidError(f"input {name!r} is sparse or ragged: make it dense", reason="UNSUPPORTED_LAYER")
        inputs.append(Input(name, tuple(tensor.shape[1:]), keras.backend.standardize_dtype(tensor.dtype)))
        bound[id(tensor)] = TensorRef(name)
    outputs = tuple(walk.through(model, _Scope("", bound)))
    blobs: dict[str, bytes] = {}
    layers = tuple(
        replace(known[seen.name], trainable=seen.trainable, calls=tuple(seen.calls))
        if seen.name in known
        else _described(seen, blobs, value_of)
        for seen in walk.layers.values()
    )
    manifest = in_order(Manifest(tuple(inputs), layers, outputs, preprocessing, parent, job))
    kept = set(manifest.blobs())
    return Description(manifest, {digest: content for digest, content in blobs.items() if digest in kept})


def _is_model(operation: Any) -> bool:
    return type(operation) in (Functional, keras.Sequential)


@dataclass
class _Scope:
    """One call of a model: the tensors that stand for its inputs, and what is made of them."""

    prefix: str
    tensors: dict[int, TensorRef]
    trainable: bool = True


@dataclass
class _Seen:
    name: str
    layer: Any
    trainable: bool
    calls: list[Call] = field(default_factory=list)


class _Walk:
    """Walks through a model and the models in it, and notes every layer's calls."""

    def __init__(self) -> None:
        self.layers: dict[int, _Seen] = {}
        self._names: set[str] = set()

    def unique(self, name: str) -> str:
        candidate, count = name, 0
        while candidate in self._names:
            count += 1
            candidate = f"{name}_{count}"
        self._names.add(candidate)
        return candidate

    def through(self, model: Any, scope: _Scope) -> list[TensorRef]:
        """Returns what a model's outputs are, its inputs being those of `scope`."""
        for node in _nodes_in_order(model):
            made = self._call(node, scope)
            scope.tensors.update({id(tensor): ref for tensor, ref in zip(node.outputs, made, strict=True)})
        return [scope.tensors[id(tensor)] for tensor in model.outputs]

    def _call(self, node: Any, scope: _Scope) -> list[TensorRef]:
        operation, (args, kwargs) = node.operation, _arguments(node)
        name = scope.prefix + operation.name
        if "training" in kwargs:
            text = f"layer {name!r} is called with training=True, so its output is not one function of its input"
            raise InvalidError(f"{text}: call it without", reason="UNSUPPORTED_LAYER")
        if _is_model(operation):
            return self._nested(node, scope)
        if LAYERS.get(type(operation).__name__) is not type(operation):
            raise unsafe(name, type(operation).__name__)
        plain = [_plain(argument, scope, name) for argument in args]
        call = Call(plain, {key: _plain(argument, scope, name) for key, argument in kwargs.items()})
        if id(operation) not in self.layers:
            unique = self.unique(checked_name(name))
            self.layers[id(operation)] = _Seen(unique, operation, scope.trainable and bool(operation.trainable))
        seen = self.layers[id(operation)]
        seen.calls.append(call)
        return [TensorRef(seen.name, len(seen.calls) - 1, at) for at in range(len(node.outputs))]

    def _nested(self, node: Any, scope: _Scope) -> list[TensorRef]:
        model, (args, kwargs) = node.operation, _arguments(node)
        given = keras.tree.flatten(args)
        name = scope.prefix + model.name
        same = len(given) == len(model.inputs) and all(
            len(outer.shape) == len(inner.shape) and outer.dtype == inner.dtype
            for outer, inner in zip(given, model.inputs, strict=True)
        )
        if not same or kwargs:
            text = (
                f"the inner network {name!r} is called in a way that cannot be kept: call it on tensors of its input's"
            )
            raise InvalidError(f"{text} rank and dtype, without further arguments", reason="UNSUPPORTED_LAYER")
        bound = {id(inner): scope.tensors[id(outer)] for outer, inner in zip(given, model.inputs, strict=True)}
        inner_scope = _Scope(f"{name}.", bound, scope.trainable and bool(model.trainable))
        return self.through(model, inner_scope)


def _nodes_in_order(model: Any) -> list[Any]:
    """Returns the calls between a model's inputs and outputs, each after those it needs."""
    given = {id(tensor) for tensor in model.inputs}
    state: dict[int, bool] = {}
    order = []
    stack = [_maker(tensor) for tensor in reversed(model.outputs) if id(tensor) not in given]
    while stack:
        node = stack[-1]
        arguments = keras.tree.flatten(_arguments(node))
        needed = [each for each in arguments if isinstance(each, keras.KerasTensor) and id(each) not in given]
        if state.get(id(node)):
            stack.pop()
        elif id(node) in state or not needed:
            state[id(node)] = True
            order.append(stack.pop())
        else:
            state[id(node)] = False
            makers = [_maker(tensor) for tensor in reversed(needed)]
            stack.extend(maker for maker in makers if id(maker) not in state)
    return order


def _arguments(node: Any) -> tuple[Any, dict[str, Any]]:
    """Returns a call's arguments without the masks and `training=False` that Keras adds itself, and will add again."""
    args, kwargs = node.arguments.args, node.arguments.kwargs
    masks = {id(getattr(each, "_keras_mask", None)) for each in keras.tree.flatten(args)} | {id(None)}
    return args, {
        key: value
        for key, value in kwargs.items()
        if not (key.endswith("mask") and all(id(each) in masks for each in keras.tree.flatten(value)))
        and not (key == "training" and (not value or value == _training_default(node.operation)))
    }


def _training_default(operation: Any) -> Any:
    parameter = inspect.signature(operation.call).parameters.get("training")
    return parameter.default if parameter is not None else None


def _maker(tensor: Any) -> Any:
    return tensor._keras_history.operation._inbound_nodes[tensor._keras_history.node_index]


def _plain(value: Any, scope: _Scope, name: str) -> Any:
    """Returns a call's argument as JSON."""
    if isinstance(value, keras.KerasTensor):
        return {"tensor": list(scope.tensors[id(value)])}
    if isinstance(value, list | tuple):
        return [_plain(item, scope, name) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item, scope, name) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    text = f"layer {name!r} is called on a constant, which cannot be kept: make it an input or a layer's weight"
    raise InvalidError(text, reason="UNSUPPORTED_LAYER")


def checked_name(name: str) -> str:
    """Returns `name` where it can name a layer. Raises InvalidError."""
    if not _NAME.fullmatch(name) or ".." in name:
        message = f"{name[:80]!r} cannot name a layer: use up to 200 of the letters a to z, A to Z, digits and . _ -"
        raise InvalidError(message, reason="BAD_NAME")
    return name


def _described(seen: _Seen, blobs: dict[str, bytes], value_of: Callable[[Any], Array]) -> Layer:
    class_name = type(seen.layer).__name__
    config = config_of(seen.layer, seen.name)
    blob = None
    weights = named_weights(seen.layer)
    if weights:
        content = encode_tensors({name: value_of(variable) for name, variable in weights.items()})
        blob = digest_of(content)
        blobs[blob] = content
    digest = layer_digest(class_name, config, blob)
    parameters = parameters_of(seen.layer)
    return Layer(seen.name, class_name, config, digest, blob, parameters, seen.trainable, tuple(seen.calls))


def config_of(layer: Any, name: str) -> dict[str, Any]:
    """Returns a Keras layer's configuration as manifests hold it. Raises InvalidError."""
    return checked_config(type(layer).__name__, _without_arrays(layer.get_config()), name)


def _without_arrays(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _without_arrays(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(item) for item in value]
    return value
