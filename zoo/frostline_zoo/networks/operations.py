"""Operations in Keras 3's configurations, such as `x + y`, as the built-in layers that compute the same.

An operation is no layer, though many are named like one: `Add` of `keras.ops` takes two tensors, or a tensor and a
number, and drops masks, where the layer `Add` takes a list and keeps them. What no layer says exactly is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from frostline_zoo.errors import InvalidError
from frostline_zoo.networks.allowed import make_layer
from frostline_zoo.networks.build import call_layer

Config = dict[str, Any]

# Operations that Keras adds to a graph to compute masks. It adds them again when the layers are called.
MASKS = ("NotEqual", "Any", "All", "ExpandDims", "LogicalAnd", "LogicalOr", "Cast", "OnesLike", "ZerosLike")
_MODULE = re.compile(r"keras\.(src\.)?ops(\.\w+)*")
_MERGING = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")
_ACTIVATIONS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Silu": "silu",
    "Selu": "selu",
    "LogSigmoid": "log_sigmoid",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "Exp": "exponential",
}
# What to build a network with instead of operations that are not taken in.
_INSTEAD = {
    "Average": "the layer Average, or a GlobalAveragePooling",
    "Mean": "a GlobalAveragePooling layer",
    "Max": "a GlobalMaxPooling layer",
    "Matmul": "a Dense, Dot or EinsumDense layer",
    "Dot": "the layer Dot",
    "Einsum": "the layer EinsumDense",
    "Square": "the layer Multiply of the tensor with itself",
    "Power": "the layer Multiply of the tensor with itself",
    "Gelu": "the layer Activation('gelu'), whose curve is the exact one",
    "ExpandDims": "the layer Reshape",
    "Squeeze": "the layer Reshape",
    "Stack": "the layers Reshape and Concatenate",
    "Split": "Cropping layers",
    "GetItem": "a Cropping layer",
    "Pad": "a ZeroPadding layer",
    "Repeat": "an UpSampling layer",
    "Divide": "the layer Rescaling, by a number",
    "TrueDivide": "the layer Rescaling, by a number",
    "Cast": "the dtype of the layers",
    "Transpose": "the layer Permute",
}


@dataclass(frozen=True)
class Operation:
    """An operation as a file has it."""

    name: str
    class_name: str
    config: Config

    def apply(self, args: list[Any], kwargs: Config) -> list[Any]:
        """Returns its outputs on symbolic tensors, made by a new layer of the operation's name.

        Raises:
            InvalidError: no layer says the operation on these arguments (UNSUPPORTED_LAYER), or as `call_layer`.
            ExhaustedError: as `call_layer`.
        """
        tensors = [each for each in keras.tree.flatten(args) if isinstance(each, keras.KerasTensor)]
        dtypes = {tensor.dtype for tensor in tensors}
        if any(getattr(tensor, "_keras_mask", None) is not None for tensor in tensors):
            raise self.refusal("drops the mask of its input, which layers keep")
        if kwargs or len(dtypes) != 1 or "float" not in min(dtypes):
            raise self.refusal("does not take floats of one type alone")
        said = LAYERS[self.class_name](self, args)
        if said is None:
            raise self.refusal("takes what no layer takes so")
        class_name, config, argument = said
        return call_layer(make_layer(class_name, {**config, "dtype": min(dtypes)}, self.name), [argument], {})

    def refusal(self, why: str = "is no layer") -> InvalidError:
        """Returns the refusal of the operation, with what to use in its place."""
        known = f"the layer {self.class_name}" if self.class_name in _NAMED_ALIKE else "built-in layers"
        mend = f"use {_INSTEAD.get(self.class_name, known)} instead, and save the network again"
        text = f"{self.name[:80]!r} is the operation {self.class_name[:80]} of keras.ops, which {why}: {mend}"
        return InvalidError(text, reason="UNSUPPORTED_LAYER", layer=self.name[:80])


def is_operation(data: Any) -> bool:
    """Whether an entry among a network's layers is an operation: its module tells, not its class.

    An .h5 file has no modules. There an operation is what cannot train: layers say whether they do, in every Keras.
    """
    if not isinstance(data, dict):
        return False
    module, class_name, config = data.get("module"), data.get("class_name"), data.get("config")
    if module is not None or not isinstance(class_name, str) or not isinstance(config, dict):
        return module is not None and _MODULE.fullmatch(str(module)) is not None
    return class_name in (*LAYERS, *MASKS, *_INSTEAD) and "trainable" not in config


Said = tuple[str, Config, Any] | None
"""The class of a layer, its configuration and what it is called on; None where no layer says it."""


def _is_tensor(value: Any) -> bool:
    return isinstance(value, keras.KerasTensor)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 3e38


def _merged(operation: Operation, args: list[Any]) -> Said:
    if len(args) != 2:
        return None
    left, right = args
    if _is_tensor(left) and _is_tensor(right):
        # Of other ranks the operation would align examples with places, and the layer does not.
        return (operation.class_name, {}, args) if len(left.shape) == len(right.shape) > 0 else None
    (tensor, number), turned = ((left, right), False) if _is_tensor(left) else ((right, left), True)
    if not _is_tensor(tensor) or not _is_number(number):
        return None
    if operation.class_name == "Maximum" and number == 0:
        return "ReLU", {}, tensor
    factors = {
        "Add": (1.0, number),
        "Subtract": (-1.0, number) if turned else (1.0, -number),
        "Multiply": (number, 0.0),
    }.get(operation.class_name)
    return _rescaled(*factors, tensor) if factors else None


def _rescaled(scale: float, offset: float, tensor: Any) -> Said:
    return "Rescaling", {"scale": float(scale), "offset": float(offset)}, tensor


def _divided(operation: Operation, args: list[Any]) -> Said:
    usable = len(args) == 2 and _is_tensor(args[0]) and _is_number(args[1]) and abs(args[1]) > 1e-37
    return _rescaled(1 / args[1], 0.0, args[0]) if usable else None


def _negated(operation: Operation, args: list[Any]) -> Said:
    return _rescaled(-1.0, 0.0, args[0]) if len(args) == 1 and _is_tensor(args[0]) else None


def _concatenated(operation: Operation, args: list[Any]) -> Said:
    axis, parts = operation.config.get("axis"), args[0] if len(args) == 1 else None
    if not isinstance(parts, list) or len(parts) < 2 or not all(_is_tensor(part) for part in parts):
        return None
    rank = len(parts[0].shape)
    if not isinstance(axis, int) or not -rank < axis < rank or axis == 0:  # axis 0 is that of the examples
        return None
    return "Concatenate", {"axis": axis}, parts


def _reshaped(operation: Operation, args: list[Any]) -> Said:
    shape = operation.config.get("newshape")
    if len(args) != 1 or not _is_tensor(args[0]) or not isinstance(shape, list) or len(shape) < 2:
        return None
    sides = args[0].shape[1:]
    known = all(isinstance(side, int) and side > 0 for side in (*sides, *shape[1:]))
    keeps_examples = known and shape[0] == -1 and math.prod(shape[1:]) == math.prod(sides)
    return ("Reshape", {"target_shape": shape[1:]}, args[0]) if keeps_examples else None


def _transposed(operation: Operation, args: list[Any]) -> Said:
    axes = operation.config.get("axes")
    if len(args) != 1 or not _is_tensor(args[0]) or not isinstance(axes, list) or axes[:1] != [0] or len(axes) == 1:
        return None
    return "Permute", {"dims": axes[1:]}, args[0]


def _activated(operation: Operation, args: list[Any]) -> Said:
    usable = len(args) == 1 and _is_tensor(args[0])
    return ("Activation", {"activation": _ACTIVATIONS[operation.class_name]}, args[0]) if usable else None


def _with_parameter(class_name: str, key: str) -> Callable[[Operation, list[Any]], Said]:
    def say(operation: Operation, args: list[Any]) -> Said:
        value = operation.config.get(key)
        if len(args) != 1 or not _is_tensor(args[0]) or not _is_number(value):
            return None
        usable = key != "axis" or (isinstance(value, int) and value != 0)
        return (class_name, {key: value}, args[0]) if usable else None

    return say


LAYERS: dict[str, Callable[[Operation, list[Any]], Said]] = {
    **dict.fromkeys(_MERGING, _merged),
    **dict.fromkeys(_ACTIVATIONS, _activated),
    "TrueDivide": _divided,
    "Divide": _divided,
    "Negative": _negated,
    "Concatenate": _concatenated,
    "Reshape": _reshaped,
    "Transpose": _transposed,
    "Softmax": _with_parameter("Softmax", "axis"),
    "LeakyRelu": _with_parameter("LeakyReLU", "negative_slope"),
    "Elu": _with_parameter("ELU", "alpha"),
}
"""How the operations that are taken in are said."""

_NAMED_ALIKE = (*_MERGING, "Concatenate", "Reshape", "Softmax")
