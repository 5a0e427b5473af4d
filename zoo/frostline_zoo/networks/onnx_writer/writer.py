"""A network as an ONNX model: one input and output a tensor, one weight a parameter, under the manifest's names."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from onnx import ModelProto, TensorProto, helper

from frostline_zoo.errors import InvalidError
from frostline_zoo.graph import calls_in_order
from frostline_zoo.manifest import Call, Layer, TensorRef
from frostline_zoo.networks.build import Network
from frostline_zoo.networks.onnx_writer import activations, attention, convolving, layers, resizing
from frostline_zoo.networks.onnx_writer.graph import Graph
from frostline_zoo.networks.onnx_writer.step import Step, unwritten

OPSET = 20
IR_VERSION = 9
WRITERS = activations.WRITERS | attention.WRITERS | convolving.WRITERS | layers.WRITERS | resizing.WRITERS


def onnx_model(network: Network, outputs: list[str], metadata: dict[str, str]) -> ModelProto:
    """Returns a network as an ONNX model.

    Args:
        network: the network.
        outputs: a name for each output.
        metadata: what the file holds beside it.

    Raises:
        InvalidError: a layer, or something that its configuration asks for, is not written as ONNX; it is named.
        ExhaustedError: the weights are more than a file holds.
    """
    graph, manifest = Graph(), network.manifest
    values = {TensorRef(entry.name): entry.name for entry in manifest.inputs}
    known = {layer.name: layer for layer in manifest.layers}
    for name, index in calls_in_order(manifest):
        ref = TensorRef(name, index)
        values[ref] = _written(graph, network, known[name], known[name].calls[index], ref, values)
    graph.layer = "output"
    made = [graph.op("Identity", values[ref]) for ref in manifest.outputs]
    nodes, weights = graph.used(made)
    named = dict(zip(made, outputs, strict=True))
    for node in nodes:
        node.output[0] = named.get(node.output[0], node.output[0])
    proto = helper.make_graph(
        nodes,
        "network",
        [_declared(name, network.tensors[TensorRef(name)]) for name in (entry.name for entry in manifest.inputs)],
        [_declared(name, network.tensors[ref]) for name, ref in zip(outputs, manifest.outputs, strict=True)],
        weights,
    )
    model = helper.make_model(
        proto, producer_name="frostline", ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
    )
    helper.set_model_props(model, metadata)
    return model


def _written(
    graph: Graph, network: Network, layer: Layer, call: Call, ref: TensorRef, values: dict[TensorRef, str]
) -> str:
    built = network.layers[layer.name]
    graph.layer = layer.name
    if layer.class_name not in WRITERS:
        raise unwritten(built, "the layer")
    tensors = _given(built, call, attention.ARGUMENTS.get(layer.class_name, ()))
    output = network.tensors[ref]
    dtype = keras.backend.standardize_dtype(output.dtype)
    if any(getattr(network.tensors[each], "_keras_mask", None) is not None for each in tensors if each):
        raise unwritten(built, "a mask")
    if built.compute_dtype != "float32":
        raise unwritten(built, f"the dtype {built.compute_dtype}")
    inputs = []
    for each in tensors:
        if each is None:
            inputs.append("")
            continue
        is_cast = dtype == "float32" and layer.class_name != "Embedding"
        is_same = keras.backend.standardize_dtype(network.tensors[each].dtype) == dtype
        inputs.append(graph.op("Cast", values[each], to=TensorProto.FLOAT) if is_cast and not is_same else values[each])
    shapes = [tuple(network.tensors[each].shape) if each else () for each in tensors]
    step = Step(graph, built, layer.config, inputs, shapes, tuple(output.shape))
    return WRITERS[layer.class_name](step)


def _given(built: Any, call: Call, names: tuple[str, ...]) -> list[TensorRef | None]:
    """Returns the tensors that a layer is called on: those of its one argument, or one for each of `names`, or None."""
    further = {key: value for key, value in call.kwargs.items() if value is not None and value is not False}
    given = dict(zip(names, call.args, strict=False)) | further
    is_known = given.keys() <= set(names) and len(call.args) <= max(len(names), 1)
    if not is_known or not call.tensors():
        raise unwritten(built, "a call with further arguments")
    if not names:
        return list(call.tensors())
    found = {name: Call([value]).tensors() for name, value in given.items()}
    return [next(iter(found.get(name, [])), None) for name in names]


def _declared(name: str, tensor: Any) -> Any:
    """Returns how ONNX declares a tensor: the batch is free, and so is each side that the network leaves free."""
    try:
        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(keras.backend.standardize_dtype(tensor.dtype)))
    except (KeyError, ValueError, TypeError) as error:
        text = f"{name!r} has the dtype {tensor.dtype}, which is not written as ONNX: export as saved_model"
        raise InvalidError(text, reason="UNSUPPORTED_LAYER") from error
    sides = ["batch", *(f"{name}_{at}" if side is None else side for at, side in enumerate(tensor.shape[1:], 1))]
    return helper.make_tensor_value_info(name, dtype, sides)
