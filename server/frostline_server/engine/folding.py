"""Batch normalization folded into the layer before it, since in inference both are one affine map of each channel.

    gamma * (conv(x) - mean) / sqrt(variance + epsilon) + beta  =  conv'(x)
    kernel' = kernel * scale    bias' = (bias - mean) * scale + beta    scale = gamma / sqrt(variance + epsilon)

Keras takes two more passes over the tensor for it, and they keep TensorFlow from fusing the activation into the
convolution. Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", section 3.2. docs/decisions/0024-normalization-is-folded.md has what it brings.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras
import numpy as np

# The kernel that makes a layer's output, and how many of its last axes are the output's channels.
_KERNELS = {
    keras.layers.Conv1D: ("kernel", 1),
    keras.layers.Conv2D: ("kernel", 1),
    keras.layers.Conv3D: ("kernel", 1),
    keras.layers.Dense: ("kernel", 1),
    keras.layers.DepthwiseConv1D: ("kernel", 2),
    keras.layers.DepthwiseConv2D: ("kernel", 2),
    keras.layers.SeparableConv1D: ("pointwise_kernel", 1),
    keras.layers.SeparableConv2D: ("pointwise_kernel", 1),
}


def folded(model: keras.Model) -> keras.Model:
    """Returns a model that computes what `model`, a functional one, does in inference mode, with less to do.

    Layers that nothing is folded into are `model`'s own; the others have the values of now. What it computes differs
    from what `model` does by rounding alone.
    """
    norms = _norms_of(model)
    if not norms:
        return model
    gone = set(norms.values())
    made: dict[keras.Layer, keras.Layer] = {}

    def clone(layer: keras.Layer) -> keras.Layer:
        if layer in norms:
            config = layer.get_config() | {"use_bias": True}
            # Its values come below, and Keras would draw them first.
            config |= {key: "zeros" for key in config if key.endswith("_initializer")}
            made[layer] = type(layer).from_config(config)
            return made[layer]
        return layer

    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if layer in gone else layer(*args, **kwargs)

    cloned = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer, copy in made.items():
        _fill(copy, layer, norms[layer])
    return cloned


def folded_layers(model: keras.Model) -> set[str]:
    """Returns the names of the layers that take in the normalization behind them."""
    return {layer.name for layer in _norms_of(model)}


def _norms_of(model: keras.Model) -> dict[keras.Layer, keras.Layer]:
    """Returns the normalization that can be folded into a layer, by layer."""
    nodes = [node for level in model._nodes_by_depth.values() for node in level]
    makers = {id(tensor): node for node in nodes for tensor in node.output_tensors}
    calls = Counter(node.operation for node in nodes)
    uses = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    uses.update(id(tensor) for tensor in model.outputs)
    norms = {}
    for node in nodes:
        if type(node.operation) is not keras.layers.BatchNormalization or len(node.input_tensors) != 1:
            continue
        tensor = node.input_tensors[0]
        maker = makers[id(tensor)]
        is_alone = uses[id(tensor)] == calls[node.operation] == calls[maker.operation] == 1
        if is_alone and _is_affine(maker.operation) and _is_of_channels(node, len(tensor.shape)):
            norms[maker.operation] = node.operation
    return norms


def _is_affine(layer: Any) -> bool:
    """Whether a layer is a kernel, perhaps a bias, and nothing else, the channels last."""
    return (
        type(layer) in _KERNELS
        and layer.activation is keras.activations.linear
        and getattr(layer, "data_format", "channels_last") == "channels_last"
        and layer.dtype_policy.name == "float32"
        and not getattr(layer, "lora_enabled", False)
    )


def _is_of_channels(node: Any, rank: int) -> bool:
    norm = node.operation
    is_plain = not any(node.arguments.kwargs.values())  # no `training`, no mask
    return is_plain and norm.axis in (-1, rank - 1) and norm.dtype_policy.name == "float32"


def _fill(copy: keras.Layer, layer: keras.Layer, norm: keras.Layer) -> None:
    scale = 1.0 / np.sqrt(np.asarray(norm.moving_variance, np.float64) + norm.epsilon)
    if norm.scale:
        scale *= np.asarray(norm.gamma)
    values = {variable.name: np.asarray(variable) for variable in layer.weights}
    kernel, axes = _KERNELS[type(layer)]
    values["bias"] = (values.get("bias", 0.0) - np.asarray(norm.moving_mean, np.float64)) * scale
    if norm.center:
        values["bias"] += np.asarray(norm.beta)
    values[kernel] = values[kernel] * scale.reshape(values[kernel].shape[-axes:])
    for variable in copy.weights:
        variable.assign(values[variable.name])
