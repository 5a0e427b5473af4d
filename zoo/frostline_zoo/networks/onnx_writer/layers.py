"""Products, normalizations, merges and shapes as ONNX operators."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from frostline_zoo.networks.onnx_writer.activations import activated
from frostline_zoo.networks.onnx_writer.step import Step


def _dense(step: Step) -> str:
    rank, graph = len(step.output_shape), step.graph
    bias = [step.weight("bias")] if step.config.get("use_bias", True) else []
    if rank == 2:
        return activated(step, graph.op("Gemm", step.x, step.weight("kernel"), *bias), rank)
    made = graph.op("MatMul", step.x, step.weight("kernel"))
    return activated(step, graph.op("Add", made, *bias) if bias else made, rank)


def _einsum(step: Step) -> str:
    made = step.graph.op("Einsum", step.x, step.weight("kernel"), equation=step.config["equation"])
    if step.layer.bias is not None:
        made = step.graph.op("Add", made, step.weight("bias"))
    return activated(step, made, len(step.output_shape))


def _embedding(step: Step) -> str:
    step.require(not step.config.get("mask_zero"), "a mask")
    places = step.graph.op("Cast", step.x, to=7)  # int64
    return step.graph.op("Gather", step.weight("embeddings"), places)


def _batch_normalization(step: Step) -> str:
    axis = step.config["axis"]
    axis = axis[0] if isinstance(axis, list) else axis
    axis %= step.rank
    step.require(axis in (1, step.rank - 1), f"a normalization of axis {axis}")
    mean, variance = step.array("moving_mean"), step.array("moving_variance")
    gamma = step.weight("gamma", None if step.config.get("scale", True) else np.ones_like(mean))
    beta = step.weight("beta", None if step.config.get("center", True) else np.zeros_like(mean))
    is_last = axis == step.rank - 1 and step.rank > 2
    value = step.graph.to_first(step.x, step.rank) if is_last else step.x
    moments = step.weight("moving_mean", mean), step.weight("moving_variance", variance)
    made = step.graph.op("BatchNormalization", value, gamma, beta, *moments, epsilon=float(step.config["epsilon"]))
    return step.graph.to_last(made, step.rank) if is_last else made


def _layer_normalization(step: Step) -> str:
    axis = step.config["axis"]
    axes = sorted(each % step.rank for each in (axis if isinstance(axis, list) else [axis]))
    step.require(axes == list(range(axes[0], step.rank)), "a normalization of inner axes")
    shape = [step.shape[each] or 1 for each in axes]
    gamma = step.weight("gamma", None if step.config.get("scale", True) else np.ones(shape, "float32"))
    beta = step.weight("beta", None if step.config.get("center", True) else np.zeros(shape, "float32"))
    epsilon = float(step.config["epsilon"])
    return step.graph.op("LayerNormalization", step.x, gamma, beta, axis=axes[0], epsilon=epsilon)


def _normalization(step: Step) -> str:
    step.require(not step.config.get("invert"), "an inverted normalization")
    mean, variance = step.array("mean"), step.array("variance")
    spread = np.maximum(np.sqrt(variance), np.float32(1e-7))  # Keras's epsilon
    return step.graph.op("Div", step.graph.op("Sub", step.x, step.weight("mean", mean)), step.weight("spread", spread))


def _rescaling(step: Step) -> str:
    scale, offset = (step.graph.constant(step.config[key]) for key in ("scale", "offset"))
    return step.graph.op("Add", step.graph.op("Mul", step.x, scale), offset)


def _merge(kind: str) -> Callable[[Step], str]:
    def write(step: Step) -> str:
        step.require(len({len(shape) for shape in step.shapes}) == 1, "a merge of inputs of different ranks")
        merged = step.inputs[0]
        same = len(set(step.shapes)) == 1
        for other in step.inputs[1:]:
            if same:
                merged = step.graph.each(kind, merged, other, rank=step.rank)
            else:
                merged = step.graph.op(kind, merged, other)
        return merged

    return write


def _average(step: Step) -> str:
    return step.graph.op("Div", _merge("Add")(step), step.graph.constant(len(step.inputs)))


def _concatenate(step: Step) -> str:
    axis = step.config["axis"] % step.rank
    if axis == step.rank - 1 and step.rank > 2 and all(step.graph.is_first(value) for value in step.inputs):
        values = [step.graph.to_first(value, step.rank) for value in step.inputs]
        return step.graph.to_last(step.graph.op("Concat", *values, axis=1), step.rank)
    return step.graph.op("Concat", *step.inputs, axis=axis)


def _flatten(step: Step) -> str:
    step.require(step.config.get("data_format") != "channels_first" or step.rank < 3, "flattening channels first")
    return step.graph.op("Flatten", step.x, axis=1)


def _reshape(step: Step) -> str:
    sides = [-1 if side is None else side for side in step.output_shape[1:]]
    step.require(sides.count(-1) <= 1, "a shape with several free sides")
    return step.graph.op("Reshape", step.x, step.graph.constant([0, *sides], "int64"))


def _permute(step: Step) -> str:
    return step.graph.op("Transpose", step.x, perm=[0, *step.config["dims"]])


def _repeat(step: Step) -> str:
    longer = step.graph.op("Unsqueeze", step.x, step.graph.constant([1], "int64"))
    return step.graph.op("Tile", longer, step.graph.constant([1, step.config["n"], 1], "int64"))


def _same(step: Step) -> str:
    return step.x


_DOES_NOTHING = """
    ActivityRegularization AlphaDropout Dropout GaussianDropout GaussianNoise Identity SpatialDropout1D
    SpatialDropout2D SpatialDropout3D RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast
    RandomErasing RandomFlip RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization
    RandomRotation RandomSaturation RandomSharpness RandomTranslation RandomZoom
"""

WRITERS: dict[str, Callable[[Step], str]] = {
    "Dense": _dense,
    "EinsumDense": _einsum,
    "Embedding": _embedding,
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "Normalization": _normalization,
    "Rescaling": _rescaling,
    "Add": _merge("Add"),
    "Subtract": _merge("Sub"),
    "Multiply": _merge("Mul"),
    "Maximum": _merge("Max"),
    "Minimum": _merge("Min"),
    "Average": _average,
    "Concatenate": _concatenate,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": _permute,
    "RepeatVector": _repeat,
    **dict.fromkeys(_DOES_NOTHING.split(), _same),
}
