"""Operators that average or normalize."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from frostline_zoo.foreign.canvas import norms
from frostline_zoo.foreign.canvas.activations import scaled
from frostline_zoo.foreign.canvas.held import Held, UnsayableError, product
from frostline_zoo.foreign.canvas.local_response import normalized_across_channels
from frostline_zoo.foreign.onnx_graph.step import Step, operator


@operator("BatchNormalization")
def _batch_normalization(step: Step) -> Held:
    if step.attribute("training_mode", 0) or not step.attribute("spatial", 1):
        raise UnsayableError("normalizes by the batch at hand, or each place by itself")
    weights = dict(
        zip(("gamma", "beta", "moving_mean", "moving_variance"), map(step.constant, range(1, 5)), strict=True)
    )
    epsilon, momentum = step.attribute("epsilon", 1e-5), step.attribute("momentum", 0.9)
    return norms.batch_normalized(step.canvas, step.label, step.held(), weights, epsilon, momentum)


@operator("InstanceNormalization")
def _instance_normalization(step: Step) -> Held:
    epsilon = step.attribute("epsilon", 1e-5)
    return norms.group_normalized(step.canvas, step.label, step.held(), -1, step.constant(1), step.constant(2), epsilon)


@operator("GroupNormalization")
def _group_normalization(step: Step) -> Held:
    groups, epsilon = step.attribute("num_groups"), step.attribute("epsilon", 1e-5)
    x, gamma, beta = step.held(), step.constant(1), step.constant(2)
    if step.opset < 21:  # one number a group
        repeats = (x.shape[1] or 0) // groups
        gamma, beta = (replace(each, array=np.repeat(each.array, repeats)) for each in (gamma, beta))
    return norms.group_normalized(step.canvas, step.label, x, groups, gamma, beta, epsilon)


@operator("LayerNormalization")
def _layer_normalization(step: Step) -> Held:
    if any(step.graph.uses[name] for name in step.node.outputs[1:]):
        raise UnsayableError("puts out its averages")
    epsilon = step.attribute("epsilon", 1e-5)
    gamma, beta = step.constant(1), step.optional(2)
    return norms.layer_normalized(
        step.canvas, step.label, step.held(), step.attribute("axis", -1), gamma, beta, epsilon
    )


@operator("ReduceMean", "ReduceMax", "ReduceSum")
def _reduce(step: Step) -> Held:
    x = step.held()
    axes = step.ints("axes", 1)
    if not axes:
        if step.attribute("noop_with_empty_axes", 0):
            return x
        raise UnsayableError("averages over examples")
    op, keep = step.node.op_type, bool(step.attribute("keepdims", 1))
    made = norms.reduced(step.canvas, step.label, x, "Max" if op == "ReduceMax" else "Average", axes, keep)
    if op != "ReduceSum":
        return made
    count = product([x.known()[x.axis(axis)] for axis in axes])
    return scaled(step.canvas, f"{step.label}_sum", made, float(count))


@operator("LRN")
def _lrn(step: Step) -> Held:
    alpha, beta, bias = step.attribute("alpha", 1e-4), step.attribute("beta", 0.75), step.attribute("bias", 1.0)
    size = step.attribute("size")
    return normalized_across_channels(step.canvas, step.label, step.held(), size, alpha, beta, bias)
