"""Steps joined to the layers that people know: a bias, an activation and a normalisation with what they belong to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from frostline_zoo.foreign.saved_model.values import Known, Step, shortest

_BIASED = ("Dense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D", "Conv2DTranspose")
_GONE = ""
_POINTWISE = {"DepthwiseConv1D": "Conv1D", "DepthwiseConv2D": "Conv2D"}


def joined(steps: Sequence[Step], outputs: Sequence[Step]) -> tuple[list[Step], dict[int, Step]]:
    """Returns fewer steps that compute the same, and by `id` what became of those that were joined to another.

    Args:
        steps: each after those it needs; they are changed.
        outputs: those whose results must stay to be had.
    """
    users = Counter(id(given) for step in steps for given in step.inputs)
    users.update(id(step) for step in outputs)
    became: dict[int, Step] = {}
    kept: list[Step] = []
    for step in steps:
        step.inputs = [became.get(id(given), given) for given in step.inputs]
        into = _joined(step, users)
        if into is None:
            kept.append(step)
            continue
        became[id(step)] = into
        users[id(into)] = users[id(step)]
    return [step for step in kept if step.class_name != _GONE], became


def _joined(step: Step, users: Counter[int]) -> Step | None:
    """Returns the step that `step` was made a part of; None where it stays."""
    first = step.inputs[0] if step.inputs else None
    alone = first is not None and users[id(first)] == 1
    if step.class_name == "Bias" and alone and first is not None:
        if first.class_name in (*_BIASED, "SeparableConv1D", "SeparableConv2D") and not first.config["use_bias"]:
            first.config["use_bias"] = True
            first.weights["bias"] = step.weights["bias"].flat()
            return first
        if first.class_name == "Scale" and "bias" not in first.weights:
            first.weights["bias"] = step.weights["bias"]
            _normalisation(first)
            return first
    if step.class_name == "Rescaling" and alone and first is not None and first.class_name == "Rescaling":
        return _rescaling(step, first)
    if step.class_name in _POINTWISE.values():
        return _separable(step, first, alone)
    if step.class_name == "Multiply" and len(step.inputs) == 2:
        return _gated(step, users)
    if step.class_name == "Activation" and alone and first is not None and first.scope == step.scope:
        has = first.class_name in (*_BIASED, "SeparableConv1D", "SeparableConv2D")
        if has and first.config.get("activation", "linear") == "linear":
            first.config["activation"] = step.config["activation"]
            return first
    return None


def _rescaling(step: Step, first: Step) -> Step | None:
    """Joins a summand to the factor before it."""
    if first.config["offset"] != 0.0 or step.config["scale"] != 1.0:
        return None
    first.config["offset"] = step.config["offset"]
    return first


def _separable(step: Step, first: Step | None, alone: bool) -> Step | None:
    """Joins a convolution of single places to the depthwise one below it, in the same scope."""
    if first is None or not alone or _POINTWISE.get(first.class_name) != step.class_name or first.scope != step.scope:
        return None
    plain = not first.config["use_bias"] and first.config.get("activation", "linear") == "linear"
    kernel = step.weights["kernel"].array
    single = set(kernel.shape[:-2]) == {1} and set(step.config["strides"]) == {1} and step.config["groups"] == 1
    if not plain or not single or step.config["use_bias"] or len(set(first.config["strides"])) > 1:
        return None
    first.class_name = first.class_name.replace("Depthwise", "Separable")
    first.config["filters"] = int(kernel.shape[-1])
    first.weights = {"depthwise_kernel": first.weights["kernel"], "pointwise_kernel": step.weights["kernel"]}
    first.shape = step.shape
    return first


def _gated(step: Step, users: Counter[int]) -> Step | None:
    """Says x * sigmoid(x) as one activation."""
    for gate, x in (step.inputs, step.inputs[::-1]):
        is_gate = gate.class_name == "Activation" and gate.config["activation"] == "sigmoid"
        if is_gate and gate.inputs == [x] and users[id(gate)] == 1:
            gate.class_name = _GONE
            users[id(x)] -= 1
            step.class_name, step.config, step.inputs, step.listed = "Activation", {"activation": "silu"}, [x], False
            return _joined(step, users)
    return None


def _normalisation(step: Step) -> None:
    """Makes a factor and a summand a batch normalization, where they were computed as that computes them.

    x * (rsqrt(variance + epsilon) * gamma) + (beta - mean * (rsqrt(variance + epsilon) * gamma))
    """
    factor, summand = step.weights["kernel"], step.weights["bias"]
    root, gamma = (factor, None) if factor.made == "Rsqrt" else _one_made(factor, "Mul", "Rsqrt")
    if root is None or not root.parts or root.parts[0].made not in ("Add", "AddV2"):
        return
    variance, epsilon = root.parts[0].parts
    if epsilon.array.size != 1:
        variance, epsilon = epsilon, variance
    beta: Known | None = None
    if summand.made == "Sub":
        beta, product = summand.parts
    elif summand.made == "Neg":
        product = summand.parts[0]
    elif summand.made == "Mul":  # -mean * factor
        product = Known(summand.array, (), "Mul", tuple(p.parts[0] if p.made == "Neg" else p for p in summand.parts))
    else:
        return
    others = [part for part in product.parts if part is not factor]
    channels = step.shape[-1]
    if product.made != "Mul" or len(others) != 1 or epsilon.array.size != 1:
        return
    found = {"gamma": gamma, "beta": beta, "moving_mean": others[0], "moving_variance": variance}
    weights = {key: value for key, value in found.items() if value is not None}
    if any(value.array.size != channels for value in weights.values()):
        return
    step.class_name = "BatchNormalization"
    step.config = {"epsilon": shortest(epsilon.array.item()), "center": beta is not None, "scale": gamma is not None}
    step.weights = {key: value.flat() for key, value in weights.items()}


def _one_made(value: Known, op: str, part_op: str) -> tuple[Known | None, Known | None]:
    """Returns the part of a sum or product that another operation made, and the other part."""
    if value.made == op and len(value.parts) == 2:
        for part, other in (value.parts, value.parts[::-1]):
            if part.made == part_op:
                return part, other
    return None, None
