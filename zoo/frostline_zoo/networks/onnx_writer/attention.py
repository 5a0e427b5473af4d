"""Attention of several heads as ONNX operators: each place of the query made of all places of the value."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras

from frostline_zoo.networks.onnx_writer.step import Step
from frostline_zoo.networks.weights import named_weights
from frostline_zoo.tensors import Array

ARGUMENTS = {"MultiHeadAttention": ("query", "value", "key", "attention_mask")}
"""The layers that are called on several tensors, and what these are, in the order of a step's inputs."""

_BOOL = 9
_NOTHING = -1e9  # what Keras puts where nothing is attended to


class _Writing:
    """One attention while it is written."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._weights = named_weights(step.layer)
        self._biased = bool(step.config.get("use_bias", True))

    def array(self, parameter: str) -> Array:
        """Returns one of the layer's weights, by its name in the manifest."""
        array: Array = keras.ops.convert_to_numpy(self._weights[parameter])
        return array

    def in_heads(self, value: str, at: int, order: list[int]) -> str:
        """Returns the product of a value and one of the layer's kernels, its heads in an axis of their own."""
        end = f"_{at}" if at else ""
        kernel = self.array(f"kernel{end}")
        inputs, heads, numbers = kernel.shape
        made = self._times(value, f"kernel{end}", kernel.reshape(inputs, heads * numbers), f"bias{end}")
        graph = self._step.graph
        shaped = graph.op("Reshape", made, graph.constant([0, 0, heads, numbers], "int64"))
        return graph.op("Transpose", shaped, perm=order)

    def put_out(self, value: str) -> str:
        """Returns the heads' outputs, (batch, heads, places, numbers), multiplied to the layer's."""
        kernel, graph = self.array("kernel_3"), self._step.graph
        heads, numbers, outputs = kernel.shape
        turned = graph.op("Transpose", value, perm=[0, 2, 1, 3])
        flat = graph.op("Reshape", turned, graph.constant([0, 0, heads * numbers], "int64"))
        return self._times(flat, "kernel_3", kernel.reshape(heads * numbers, outputs), "bias_3")

    def _times(self, value: str, name: str, kernel: Array, bias: str) -> str:
        graph = self._step.graph
        made = graph.op("MatMul", value, graph.weight(name, kernel))
        return graph.op("Add", made, graph.weight(bias, self.array(bias).reshape(-1))) if self._biased else made


def _attention(step: Step) -> str:
    config, graph, writing = step.config, step.graph, _Writing(step)
    query, value, key, mask = step.inputs
    step.require(all(len(shape) in (0, 3) for shape in step.shapes[:3]), "attention over several axes")
    step.require(config.get("attention_axes") in (None, [1]), "attention over several axes")
    step.require(not config.get("sliding_window") and not config.get("use_gate"), "a sliding window or a gate")
    step.require(len(step.shapes[3]) in (0, 3, 4), "a mask of another rank than 3 or 4")
    scale = graph.constant(1 / math.sqrt(config["key_dim"]))
    asked = graph.op("Mul", writing.in_heads(query, 0, [0, 2, 1, 3]), scale)
    scores = graph.op("MatMul", asked, writing.in_heads(key or value, 1, [0, 2, 3, 1]))
    if mask:
        is_seen = graph.op("Cast", mask, to=_BOOL)
        if len(step.shapes[3]) == 3:
            is_seen = graph.op("Unsqueeze", is_seen, graph.constant([1], "int64"))
        scores = graph.op("Where", is_seen, scores, graph.constant(_NOTHING))
    shares = graph.op("Softmax", scores, axis=-1)
    return writing.put_out(graph.op("MatMul", shares, writing.in_heads(value, 2, [0, 2, 1, 3])))


WRITERS: dict[str, Callable[[Step], str]] = {"MultiHeadAttention": _attention}
