"""Operators that work number by number: activations, and arithmetic with constants and between tensors."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from onnx import TensorProto

from frostline_zoo.foreign.canvas import activations
from frostline_zoo.foreign.canvas.constants import affine, plain_number
from frostline_zoo.foreign.canvas.held import Constant, Held, UnsayableError
from frostline_zoo.foreign.onnx_graph.step import Step, operator

# Operators that are one of Keras's activations, with nothing to set.
_ACTIVATIONS = {
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Exp": "exponential",
    "HardSwish": "hard_silu",
    "Mish": "mish",
}
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
_SELU = (1.6732631921768188, 1.0507010221481323)


@operator(*_ACTIVATIONS)
def _activation(step: Step) -> Held:
    return activations.activated(step.canvas, step.label, step.held(), _ACTIVATIONS[step.node.op_type])


@operator("Relu")
def _relu(step: Step) -> Held:
    return activations.relu(step.canvas, step.label, step.held())


@operator("LeakyRelu")
def _leaky_relu(step: Step) -> Held:
    config = {"negative_slope": step.attribute("alpha", 0.01)}
    return step.canvas.layer(step.label, "LeakyReLU", step.held(), config)


@operator("ThresholdedRelu")
def _thresholded_relu(step: Step) -> Held:
    return activations.relu(step.canvas, step.label, step.held(), threshold=step.attribute("alpha", 1.0))


@operator("Elu")
def _elu(step: Step) -> Held:
    return step.canvas.layer(step.label, "ELU", step.held(), {"alpha": step.attribute("alpha", 1.0)})


@operator("Celu", "Swish")
def _only_by_one(step: Step) -> Held:
    if step.attribute("alpha", 1.0) != 1.0:
        raise UnsayableError("has another alpha than 1")
    name = {"Celu": "celu", "Swish": "silu"}[step.node.op_type]
    return activations.activated(step.canvas, step.label, step.held(), name)


@operator("Selu")
def _selu(step: Step) -> Held:
    given = step.attribute("alpha", _SELU[0]), step.attribute("gamma", _SELU[1])
    if not all(math.isclose(own, keras, rel_tol=1e-4) for own, keras in zip(given, _SELU, strict=True)):
        raise UnsayableError("has another alpha or gamma than Keras's SELU")
    return activations.activated(step.canvas, step.label, step.held(), "selu")


@operator("Clip")
def _clip(step: Step) -> Held:
    low, high = step.number("min", 1, -math.inf), step.number("max", 2, math.inf)
    return activations.clipped(step.canvas, step.label, step.held(), _bound(low), _bound(high))


@operator("HardSigmoid")
def _hard_sigmoid(step: Step) -> Held:
    alpha, beta = step.attribute("alpha", 0.2), step.attribute("beta", 0.5)
    return activations.hard_sigmoid(step.canvas, step.label, step.held(), alpha, beta)


@operator("Gelu")
def _gelu(step: Step) -> Held:
    if step.attribute("approximate", "none") == "tanh":
        return activations.gelu_by_tanh(step.canvas, step.label, step.held())
    return activations.activated(step.canvas, step.label, step.held(), "gelu")


@operator("PRelu")
def _prelu(step: Step) -> Held:
    return activations.prelu(step.canvas, step.label, step.held(), step.constant(1))


@operator("Softmax", "LogSoftmax")
def _softmax(step: Step) -> Held:
    x = step.held()
    axes = [x.axis(step.attribute("axis", -1))] if step.opset >= 13 else []
    if not axes:  # all from the axis on, as if they were one
        axes = list(range(x.axis(step.attribute("axis", 1)), x.rank))
        axes = [axis for axis in axes if x.shape[axis] != 1] or axes[:1]
    if step.node.op_type == "Softmax":
        return activations.softmax(step.canvas, step.label, x, axes)
    if len(axes) > 1:
        raise UnsayableError("is taken over several axes")
    return activations.log_softmax(step.canvas, step.label, x, axes[0])


@operator("Identity")
def _identity(step: Step) -> Held:
    return step.held()


@operator("Dropout")
def _dropout(step: Step) -> Held:
    if any(step.graph.uses[name] for name in step.node.outputs[1:]):
        raise UnsayableError("puts out what it dropped")
    rate = step.number("ratio", 1, 0.5)
    if not 0 <= rate < 1 or step.number("", 2, 0.0):
        raise UnsayableError("drops all, or drops without training")
    x = step.held()
    return step.canvas.layer(step.label, "Dropout", x, {"rate": rate}, never_negative=x.never_negative)


@operator("Cast")
def _cast(step: Step) -> Held:
    x = step.held()
    if step.attribute("to") not in _FLOATS:
        raise UnsayableError("makes other numbers of numbers than floats")
    if step.canvas.is_integer(x):  # Rescaling is what gives floats for whole numbers
        return step.canvas.layer(step.label, "Rescaling", x, {"scale": 1.0, "offset": 0.0})
    return x


@operator("Neg")
def _neg(step: Step) -> Held:
    return activations.scaled(step.canvas, step.label, step.held(), -1.0)


@operator("Abs")
def _abs(step: Step) -> Held:
    x = step.held()
    negative = activations.scaled(step.canvas, f"{step.label}_negative", x, -1.0)
    return replace(activations.merged(step.canvas, step.label, "Maximum", [x, negative]), never_negative=True)


@operator("Add", "Sum")
def _add(step: Step) -> Held:
    if len(step.values) == 1:
        return step.held()
    x, constant = _split(step)
    if x is None or constant is None:
        return activations.merged(step.canvas, step.label, "Add", step.tensors)
    return x if _is_bias(step, x, constant) else affine(step.canvas, step.label, x, None, constant)


@operator("Sub")
def _sub(step: Step) -> Held:
    x, constant = _split(step)
    if x is None or constant is None:
        return activations.merged(step.canvas, step.label, "Subtract", step.tensors)
    if isinstance(step.values[0], Constant):
        return affine(step.canvas, step.label, x, Constant(np.full(1, -1.0, np.float32)), constant)
    return affine(step.canvas, step.label, x, None, replace(constant, array=-constant.array.astype(np.float32)))


@operator("Mul")
def _mul(step: Step) -> Held:
    x, constant = _split(step)
    if x is None or constant is None:
        return activations.merged(step.canvas, step.label, "Multiply", step.tensors)
    return affine(step.canvas, step.label, x, constant, None)


@operator("Div")
def _div(step: Step) -> Held:
    x, constant = _split(step)
    if x is None or constant is None or isinstance(step.values[0], Constant):
        raise UnsayableError("divides by what is computed from examples")
    if not constant.array.all():
        raise UnsayableError("divides by zero")
    return affine(step.canvas, step.label, x, replace(constant, array=1 / constant.array.astype(np.float32)), None)


@operator("Pow")
def _pow(step: Step) -> Held:
    power = step.number("", 1, math.nan)
    if power not in (1, 2, 3, 4):
        raise UnsayableError(f"takes the power {power:g}")
    x = step.held()
    return x if power == 1 else activations.merged(step.canvas, step.label, "Multiply", [x] * int(power))


@operator("Max", "Min", "Mean")
def _merge(step: Step) -> Held:
    op = step.node.op_type
    if len(step.values) == 1:
        return step.held()
    x, constant = _split(step) if len(step.values) == 2 else (None, None)
    if x is not None and constant is not None and constant.array.size == 1 and op != "Mean":
        bound = _bound(plain_number(constant.array))
        low, high = (bound, math.inf) if op == "Max" else (-math.inf, bound)
        return activations.clipped(step.canvas, step.label, x, low, high)
    class_name = {"Max": "Maximum", "Min": "Minimum", "Mean": "Average"}[op]
    return activations.merged(step.canvas, step.label, class_name, step.tensors)


def _split(step: Step) -> tuple[Held | None, Constant | None]:
    """Returns the one input that is computed and the one that is constant, where there is one of each."""
    if len(step.values) != 2:
        return None, None
    first, second = step.values
    if isinstance(first, Held) and isinstance(second, Constant):
        return first, second
    if isinstance(first, Constant) and isinstance(second, Held):
        return second, first
    return None, None


def _is_bias(step: Step, x: Held, constant: Constant) -> bool:
    """Makes a constant the bias of the layer below, where that has none and is used for this alone."""
    name = next(name for name, value in zip(step.node.inputs, step.values, strict=True) if value is x)
    maker = step.graph.makers.get(name)
    if maker is None or maker.op_type not in ("MatMul", "Conv", "Mul", "Gemm") or step.graph.uses[name] != 1:
        return False
    array, axis = constant.array, x.order[-1]
    if array.ndim > x.rank or array.size != x.shape[axis]:
        return False
    spread = array.reshape((1,) * (x.rank - array.ndim) + array.shape)
    if spread.shape[axis] != array.size:
        return False
    return step.canvas.with_bias(x, array.reshape(-1), constant.sources)


def _bound(number: float) -> float:
    """Returns a bound, the largest floats as none at all: that is how exports write it."""
    return math.copysign(math.inf, number) if abs(number) > 3e38 else float(str(np.float32(number)))
