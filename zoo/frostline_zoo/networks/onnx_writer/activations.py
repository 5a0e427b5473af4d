"""Activations as ONNX operators, each as Keras defines it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from frostline_zoo.networks.onnx_writer.step import Step

_OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
    "exponential": ("Exp", {}),
    "elu": ("Elu", {}),
    "selu": ("Selu", {}),
    "celu": ("Celu", {}),
    "gelu": ("Gelu", {}),
    "mish": ("Mish", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.2}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hard_silu": ("HardSwish", {}),
    "hard_swish": ("HardSwish", {}),
}


def activated(step: Step, value: str, rank: int) -> str:
    """Returns a value after the activation that the layer's configuration names."""
    name = step.config.get("activation") or "linear"
    if name == "linear":
        return value
    if name in ("softmax", "log_softmax"):
        return step.graph.op("Softmax" if name == "softmax" else "LogSoftmax", value, axis=-1)
    if name in ("silu", "swish"):
        gate = step.graph.each("Sigmoid", value, rank=rank)
        return step.graph.each("Mul", value, gate, rank=rank)
    if name == "relu6":
        return _clipped(step, value, 0.0, 6.0, rank)
    step.require(name in _OPERATORS, f"the activation {name}")
    kind, attributes = _OPERATORS[name]
    return step.graph.each(kind, value, rank=rank, **attributes)


def _clipped(step: Step, value: str, lowest: float, highest: float, rank: int) -> str:
    """Returns a value within bounds."""
    bounds = [step.graph.constant(lowest), step.graph.constant(highest)]
    return step.graph.each("Clip", value, rank=rank, constants=bounds)


def _activation(step: Step) -> str:
    return activated(step, step.x, step.rank)


def _relu(step: Step) -> str:
    config = step.config
    slope, highest = config.get("negative_slope", 0.0), config.get("max_value")
    step.require(not config.get("threshold"), "a threshold")
    step.require(not slope or highest is None, "a slope below a bound")
    if highest is not None:
        return _clipped(step, step.x, 0.0, highest, step.rank)
    if slope:
        return step.graph.each("LeakyRelu", step.x, rank=step.rank, alpha=float(slope))
    return step.graph.each("Relu", step.x, rank=step.rank)


def _leaky_relu(step: Step) -> str:
    return step.graph.each("LeakyRelu", step.x, rank=step.rank, alpha=float(step.config.get("negative_slope", 0.3)))


def _elu(step: Step) -> str:
    return step.graph.each("Elu", step.x, rank=step.rank, alpha=float(step.config.get("alpha", 1.0)))


def _prelu(step: Step) -> str:
    return step.graph.op("PRelu", step.x, step.weight("alpha"))


def _softmax(step: Step) -> str:
    axis = step.config.get("axis", -1)
    step.require(isinstance(axis, int), "a softmax over several axes")
    return step.graph.op("Softmax", step.x, axis=axis)


WRITERS: dict[str, Callable[[Step], str]] = {
    "Activation": _activation,
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "ELU": _elu,
    "PReLU": _prelu,
    "Softmax": _softmax,
}
