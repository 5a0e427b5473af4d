"""Manifests to Keras: a network is built again from its manifest and its blobs, layer by layer.

describe(build(manifest, blobs)) == manifest, byte for byte
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from frostline_zoo.errors import CorruptError, ExhaustedError, InvalidError
from frostline_zoo.graph import CallRef, calls_in_order
from frostline_zoo.manifest import Layer, Manifest, TensorRef
from frostline_zoo.networks.allowed import make_layer
from frostline_zoo.networks.weights import check_size, declared, fill, parameters_of
from frostline_zoo.tensors import Array, decode_tensors

MAX_OUTPUT_ELEMENTS = 1 << 28


@dataclass(frozen=True)
class Network:
    """A network in memory.

    Attributes:
        manifest: what it was built from.
        model: the network as a functional Keras model: one input (batch, ...) or a list, to one output or a list.
            Call it with `training` given: Keras's augmentation layers take its absence for True.
        layers: its layers, by the manifest's names.
        tensors: its symbolic tensors, by the manifest's references.
    """

    manifest: Manifest
    model: Any
    layers: dict[str, Any]
    tensors: dict[TensorRef, Any]


def build(manifest: Manifest, read_blob: Callable[[str], bytes], new: Mapping[str, Any] | None = None) -> Network:
    """Returns the network that a manifest describes.

    Args:
        manifest: the network.
        read_blob: gives the bytes of a layer's weights for their digest.
        new: unbuilt Keras layers, by name, that stand in for the manifest's and begin with weights of their own.

    Raises:
        InvalidError: a layer is not on the allow-list, or the graph does not hold together.
        CorruptError: the weights are not those that the manifest declares.
        ExhaustedError: the weights take more than 4 GiB.
    """
    new = new or {}
    with declared():
        layers = {
            layer.name: new.get(layer.name) or make_layer(layer.class_name, layer.config, layer.name)
            for layer in manifest.layers
        }
        tensors = input_tensors(manifest)
        inputs = list(tensors.values())
        replay(manifest, calls_in_order(manifest), layers, tensors)
        check_size(layers.values())
    for layer in manifest.layers:
        own = layer.name not in new
        fill(layers[layer.name], _weights(layer, parameters_of(layers[layer.name]), read_blob) if own else {})
        layers[layer.name].trainable = layer.trainable
    missing = [ref for ref in manifest.outputs if ref not in tensors]
    if missing:
        raise InvalidError(f"layer {missing[0].layer!r} has no output {missing[0].output}", reason="BAD_GRAPH")
    model = keras.Model(single(inputs), single([tensors[ref] for ref in manifest.outputs]))
    return Network(manifest, model, layers, tensors)


def input_tensors(manifest: Manifest) -> dict[TensorRef, Any]:
    """Returns new symbolic tensors for a network's inputs, in order."""
    return {
        TensorRef(entry.name): keras.Input(shape=entry.shape, dtype=entry.dtype, name=entry.name)
        for entry in manifest.inputs
    }


def replay(manifest: Manifest, calls: Iterable[CallRef], layers: dict[str, Any], tensors: dict[TensorRef, Any]) -> None:
    """Calls layers as a manifest says, and adds their outputs to `tensors`, which holds what the first calls need.

    Raises:
        InvalidError: a layer does not fit its input.
    """
    known = {layer.name: layer for layer in manifest.layers}
    for name, index in calls:
        call = known[name].calls[index]
        args, kwargs = _with_tensors(call.args, tensors), _with_tensors(call.kwargs, tensors)
        outputs = call_layer(layers[name], args, kwargs)
        tensors.update({TensorRef(name, index, at): tensor for at, tensor in enumerate(outputs)})


def call_layer(layer: Any, args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
    """Returns a layer's symbolic outputs, flat.

    Raises:
        InvalidError: the layer does not fit its input.
        ExhaustedError: an output has more than 2**28 numbers an example.
    """
    try:
        outputs = list(keras.tree.flatten(layer(*args, **kwargs)))
    except Exception as error:  # Keras raises whatever its layers happen to
        tensors = [each for each in keras.tree.flatten((args, kwargs)) if isinstance(each, keras.KerasTensor)]
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors) or "none"
        fits = f"layer {layer.name!r} does not fit its input of shape {shapes}"
        raise InvalidError(fits, reason="BAD_SHAPE") from error
    for tensor in outputs:
        if math.prod(side or 1 for side in tensor.shape[1:]) > MAX_OUTPUT_ELEMENTS:
            text = (
                f"layer {layer.name!r} makes {tuple(tensor.shape[1:])} numbers of one example: take a smaller network"
            )
            raise ExhaustedError(text, reason="LIMIT_OUTPUT")
    return outputs


def single(tensors: list[Any]) -> Any:
    """Returns the only tensor of a list, or the list: how Keras passes one or several."""
    return tensors[0] if len(tensors) == 1 else tensors


def _with_tensors(value: Any, tensors: dict[TensorRef, Any]) -> Any:
    if isinstance(value, dict) and set(value) == {"tensor"}:
        ref = TensorRef(*value["tensor"])
        if ref not in tensors:
            raise InvalidError(f"layer {ref.layer!r} has no output {ref.output}", reason="BAD_GRAPH")
        return tensors[ref]
    if isinstance(value, dict):
        return {key: _with_tensors(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_tensors(item, tensors) for item in value]
    return value


def _weights(layer: Layer, expected: tuple[Any, ...], read_blob: Callable[[str], bytes]) -> dict[str, Array]:
    arrays = decode_tensors(read_blob(layer.blob)) if layer.blob else {}
    stored = {name: (tuple(array.shape), array.dtype.name) for name, array in arrays.items()}
    wanted = {parameter.name: (parameter.shape, parameter.dtype) for parameter in expected}
    if expected != layer.parameters or stored != wanted:
        text = f"layer {layer.name!r}: its stored weights are not those that its configuration asks for"
        raise CorruptError(text, reason="BAD_WEIGHTS")
    return arrays
