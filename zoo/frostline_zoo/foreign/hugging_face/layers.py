"""Layers of PyTorch by the names of their arrays, drawn as Keras's: kernels turned, defaults written out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from frostline_zoo.foreign.canvas import activations
from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.convolutions import convolved
from frostline_zoo.foreign.canvas.convolutions import dense as drawn_dense
from frostline_zoo.foreign.canvas.held import Constant, Held
from frostline_zoo.foreign.canvas.norms import batch_normalized, layer_normalized
from frostline_zoo.foreign.canvas.windows import Sides, Window
from frostline_zoo.foreign.hugging_face.arrays import Arrays
from frostline_zoo.foreign.hugging_face.refusals import unknown, unsupported

TORCH_EPSILON = 1e-5
_KERAS_MOMENTUM = 0.9  # of running averages, where PyTorch counts the other part: 0.1
_QUICK_GELU = 1.702


class Layers:
    """Draws layers on a canvas from arrays.

    Each function takes the layer's name in the network, and that of its arrays without `.weight` or `.bias`.
    """

    def __init__(self, canvas: Canvas, arrays: Arrays) -> None:
        self.canvas = canvas
        self.arrays = arrays

    def dense(self, name: str, theirs: str, x: Held, units: int | None) -> Held:
        """Returns a product of the last axis; as many units as the array has where `units` is None."""
        weight = self.arrays.take(f"{theirs}.weight", units, x.shape[-1])
        bias = self.arrays.take(f"{theirs}.bias", weight.array.shape[0]) if f"{theirs}.bias" in self.arrays else None
        return drawn_dense(self.canvas, name, x, -1, turned(weight), bias)

    def layer_norm(self, name: str, theirs: str, x: Held, epsilon: float) -> Held:
        """Returns x normalized over its last axis. Its arrays may have the names that TensorFlow gave them once."""
        older = f"{theirs}.gamma" in self.arrays
        gamma, beta = (
            self.arrays.take(f"{theirs}.{key}", x.shape[-1])
            for key in (("gamma", "beta") if older else ("weight", "bias"))
        )
        return layer_normalized(self.canvas, name, x, -1, gamma, beta, epsilon)

    def embedding(self, name: str, table: Constant, ids: Held) -> Held:
        """Returns the rows of a table, (rows, numbers), for whole numbers (batch, places)."""
        rows, numbers = table.array.shape
        config = {"input_dim": rows, "output_dim": numbers}
        shape = (*ids.shape, numbers)
        return self.canvas.layer(
            name, "Embedding", ids, config, shape=shape, order=(0, 1, 2), weights={"embeddings": table}
        )

    def convolution(
        self,
        name: str,
        theirs: str,
        x: Held,
        *,
        filters: int | None = None,
        size: Sides | None = None,
        stride: Sides = (1, 1),
        padding: Sides = (0, 0),
        grouped: bool = False,
    ) -> Held:
        """Returns a convolution over height and width; filters and size are the kernel's where they are not given.

        Where it may be in groups, their number follows from how many channels the kernel has.
        """
        channels = None if grouped else x.shape[1]
        kernel = self.arrays.take(f"{theirs}.weight", filters, channels, *(size or (None, None)))
        bias = self.arrays.take(f"{theirs}.bias", kernel.array.shape[0]) if f"{theirs}.bias" in self.arrays else None
        window = Window(kernel.array.shape[2:], stride, (1, 1), padding, padding)
        groups = max((x.shape[1] or 1) // max(kernel.array.shape[1], 1), 1)
        return convolved(self.canvas, name, x, kernel, bias, window, groups)

    def batch_norm(self, name: str, theirs: str, x: Held) -> Held:
        """Returns x normalized by channel."""
        named = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
        weights = {ours: self.arrays.take(f"{theirs}.{key}", x.shape[1]) for ours, key in named.items()}
        return batch_normalized(self.canvas, name, x, weights, TORCH_EPSILON, _KERAS_MOMENTUM)

    def dropout(self, name: str, x: Held, rate: float) -> Held:
        """Returns x, of which training drops a part."""
        return self.canvas.layer(name, "Dropout", x, {"rate": rate}) if rate else x

    def sum(self, name: str, *tensors: Held) -> Held:
        """Returns the sum of tensors."""
        return activations.merged(self.canvas, name, "Add", list(tensors))

    def activation(self, name: str, x: Held, kind: str) -> Held:
        """Returns one of transformers' activations. Raises InvalidError where no layers say it."""
        if kind not in _ACTIVATIONS:
            raise unknown("activation", kind, _ACTIVATIONS)
        return _ACTIVATIONS[kind](self.canvas, name, x)

    def attention(
        self, name: str, theirs: Attention, x: Held, heads: int, *, mask: Held | None = None, dropout: float = 0.0
    ) -> Held:
        """Returns x (batch, places, numbers), each place made of all: attention to itself, its output multiplied.

        Args:
            name: the layer's.
            theirs: where the arrays are.
            x: the tensor.
            heads: among which its numbers are shared out.
            mask: (batch, 1, places), 0 where no place attends to.
            dropout: of the attention's weights.
        """
        numbers = x.shape[-1] or 0
        if numbers % heads:
            raise unsupported(f"shares {numbers} numbers out among {heads} heads", "save it with a number that fits")
        weights: dict[str, Constant] = {}
        for at, (weight, bias) in enumerate(theirs.inputs(self.arrays, numbers)):
            end = f"_{at}" if at else ""
            weights[f"kernel{end}"] = _in_heads(turned(weight), heads)
            weights[f"bias{end}"] = replace(bias, array=bias.array.reshape(heads, -1))
        output = turned(self.arrays.take(f"{theirs.output}.weight", numbers, numbers))
        weights["kernel_3"] = replace(output, array=output.array.reshape(heads, -1, numbers))
        weights["bias_3"] = self.arrays.take(f"{theirs.output}.bias", numbers)
        config = {"num_heads": heads, "key_dim": numbers // heads, "dropout": dropout}
        further = {"value": x} | ({} if mask is None else {"attention_mask": mask})
        return self.canvas.layer(name, "MultiHeadAttention", x, config, weights=weights, further=further)


class Attention:
    """The names of an attention's arrays: query, key and value apart, or one behind the other in one array."""

    def __init__(self, inputs: tuple[str, ...], output: str) -> None:
        self._names = inputs
        self.output = output

    def inputs(self, arrays: Arrays, numbers: int) -> list[tuple[Constant, Constant]]:
        """Returns weight (numbers, numbers) and bias (numbers,) for query, key and value; zeros where there is none."""
        if len(self._names) == 1:
            return _thirds(arrays, self._names[0], numbers)
        return [(arrays.take(f"{name}.weight", numbers, numbers), _bias(arrays, name, numbers)) for name in self._names]


def turned(weight: Constant) -> Constant:
    """Returns a weight (units, inputs) as Keras's kernel, (inputs, units)."""
    return replace(weight, array=weight.array.T)


def _bias(arrays: Arrays, name: str, size: int) -> Constant:
    if f"{name}.bias" in arrays:
        return arrays.take(f"{name}.bias", size)
    return Constant(np.zeros(size, np.float32))


def _thirds(arrays: Arrays, name: str, numbers: int) -> list[tuple[Constant, Constant]]:
    weight, bias = arrays.take(f"{name}.weight", 3 * numbers, numbers), _bias(arrays, name, 3 * numbers)
    spans = [slice(at * numbers, (at + 1) * numbers) for at in range(3)]
    return [(replace(weight, array=weight.array[span]), replace(bias, array=bias.array[span])) for span in spans]


def _in_heads(kernel: Constant, heads: int) -> Constant:
    return replace(kernel, array=kernel.array.reshape(kernel.array.shape[0], heads, -1))


def _quick_gelu(canvas: Canvas, name: str, x: Held) -> Held:
    """Returns x * sigmoid(1.702 x). Source: arXiv:1606.08415, section 2."""
    gate = activations.activated(
        canvas, f"{name}_gate", activations.scaled(canvas, f"{name}_in", x, _QUICK_GELU), "sigmoid"
    )
    return activations.merged(canvas, name, "Multiply", [x, gate])


def _named(kind: str) -> Callable[[Canvas, str, Held], Held]:
    return partial(activations.activated, activation=kind)


_ACTIVATIONS: dict[str, Callable[[Canvas, str, Held], Held]] = {
    "gelu": _named("gelu"),
    "gelu_python": _named("gelu"),
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_accurate", "gelu_pytorch_tanh"), activations.gelu_by_tanh),
    "quick_gelu": _quick_gelu,
    "relu": activations.relu,
    **{kind: _named(kind) for kind in ("tanh", "sigmoid", "silu", "mish", "linear")},
    "swish": _named("silu"),
}
