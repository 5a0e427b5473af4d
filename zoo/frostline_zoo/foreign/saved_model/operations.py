"""Operations of TensorFlow, each as steps that will be layers of Keras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from frostline_zoo.foreign.saved_model import shapes, windows
from frostline_zoo.foreign.saved_model.folding import SAME, folded
from frostline_zoo.foreign.saved_model.graph import Node, bad_graph
from frostline_zoo.foreign.saved_model.steps import Steps, scope_and_leaf, unsupported
from frostline_zoo.foreign.saved_model.values import (
    AnyValue,
    Flow,
    Known,
    Side,
    Step,
    Variable,
    constant,
    number,
    shortest,
    word,
)

_ACTIVATIONS = {
    "Elu": "elu",
    "Exp": "exponential",
    "LogSoftmax": "log_softmax",
    "Relu": "relu",
    "Relu6": "relu6",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Tanh": "tanh",
}
_MERGES = {
    "Add": "Add",
    "AddN": "Add",
    "AddV2": "Add",
    "Maximum": "Maximum",
    "Minimum": "Minimum",
    "Mul": "Multiply",
    "Sub": "Subtract",
}
_FLOATS = {1: "float32", 2: "float64", 14: "bfloat16", 19: "float16"}  # TensorFlow's numbers for them
_ADDS, _LINEAR = ("Add", "AddV2", "BiasAdd", "BiasAddV1"), ("Sub", "Mul", "RealDiv")


class Operations:
    """Works out each node of a graph, as `Graph.computed` asks for it.

    Attributes:
        steps: what was made so far.
        dropouts: the rates of the dropouts that the network's own description names, by their scopes' last part.
        rounded: the types of numbers other than float32 that the graph turns its tensors into.
    """

    def __init__(
        self, inputs: dict[str, Step], variable: Callable[[str], Variable], dropouts: dict[str, float]
    ) -> None:
        """Starts with nothing worked out.

        Args:
            inputs: the signature's inputs, by the names of their nodes.
            variable: gives a variable for the name of its node.
            dropouts: as the attribute.
        """
        self.steps = Steps()
        self.dropouts = dropouts
        self.rounded: set[str] = set()
        self._inputs, self._variable = inputs, variable
        self._rows: dict[int, int] = {}  # of how many rows' table the numbers that a step makes count from the end

    def compute(self, node: Node, inputs: Sequence[AnyValue]) -> Sequence[AnyValue]:
        """Returns a node's outputs.

        Raises:
            InvalidError: no layers of Keras do the same (UNSUPPORTED_OP), or the graph does not hold together.
        """
        if node.name in self._inputs:
            return [Flow(self._inputs[node.name])]
        if node.op == "Const":
            array = constant(node.attributes["value"], node.name)
            return [None if array is None else Known(array)]
        if node.op in ("VarHandleOp", "VariableV2", "Variable"):
            held = self._variable(node.name)
            return [held if node.op == "VarHandleOp" else _read(held)]
        if node.op == "PlaceholderWithDefault" and isinstance(inputs[0], Known):
            return inputs
        if node.op in ("Identity", "ReadVariableOp") and isinstance(inputs[0], Variable):
            return [_read(inputs[0]) if node.op == "ReadVariableOp" else inputs[0]]
        if node.op == "IdentityN":
            return inputs
        known = [value for value in inputs if isinstance(value, Known)]
        if len(known) == len(inputs) and inputs:
            made = folded(node, known)
            if made is None:
                raise unsupported(node, "computes on constants in a way that is not worked out here")
            return [made]
        if any(value is None for value in inputs):
            raise unsupported(node, "works on text")
        return [self._of_examples(node, inputs)]

    def _of_examples(self, node: Node, inputs: Sequence[AnyValue]) -> AnyValue:
        x = inputs[0] if inputs else None
        if node.op == "ResourceGather" and isinstance(x, Variable) and isinstance(inputs[1], Flow):
            return self._embedded(node, _read(x), inputs[1])
        if node.op == "GatherV2" and isinstance(x, Known) and isinstance(inputs[1], Flow):
            return self._embedded(node, x, inputs[1])
        if any(not isinstance(value, Flow | Known) for value in inputs) or not inputs:
            raise unsupported(node, "is none of the signature's inputs")
        flows = [value for value in inputs if isinstance(value, Flow)]
        known = [value for value in inputs if isinstance(value, Known)]
        if node.op in SAME and isinstance(x, Flow):
            return self._maybe_dropout(node, x)
        if node.op == "Shape" and isinstance(x, Flow):
            return Known(np.array(x.shape, object))
        if node.op == "Conv2DBackpropInput" and isinstance(inputs[2], Flow) and len(known) == 2:
            return windows.transposed_convolution(self.steps, node, known[0], known[1], inputs[2])
        if node.op in ("Select", "SelectV2") and len(flows) == 3:
            return self._counted_from_the_end(node, flows)
        if len(flows) == len(inputs) > 1 or node.op == "ConcatV2":
            return self._merged(node, flows, known)
        if len(flows) == 1 and isinstance(x, Flow):
            return self._of_one(node, x, known)
        if len(flows) == 1 and len(known) == 1 and node.op in (*_ADDS, "Mul"):
            return self._linear(node, flows[0], known[0])
        raise unsupported(node, "is not known here")

    def _of_one(self, node: Node, x: Flow, known: list[Known]) -> AnyValue:
        op, one = node.op, known[0] if len(known) == 1 else None
        if op in ("Conv2D", "DepthwiseConv2dNative") and one:
            return windows.convolution(self.steps, node, x, one)
        if op == "MatMul" and one:
            return self._dense(node, x, one)
        if op in ("MaxPool", "AvgPool") and not known:
            return windows.pooling(self.steps, node, x)
        if op.startswith("FusedBatchNorm") and len(known) == 4:
            return windows.normalised(self.steps, node, x, known)
        if op in (*_ADDS, *_LINEAR) and one:
            return self._linear(node, x, one)
        if (op in _ACTIVATIONS or op == "LeakyRelu") and not known:
            return self._activated(node, x)
        if op == "Reshape" and one:
            return shapes.reshape(self.steps, node, x, one)
        if op == "Squeeze" and not known:
            return shapes.squeezed(self.steps, node, x)
        if op == "ExpandDims" and one:
            return shapes.expanded(self.steps, node, x, one.integers()[0])
        if op in ("Pad", "PadV2", "MirrorPad") and known:
            value = float(known[1].array.item()) if len(known) > 1 else 0.0
            return shapes.padded(self.steps, node, x, known[0], value)
        if op in ("Mean", "Max", "Min", "Sum") and one:
            return shapes.reduced(self.steps, node, x, one)
        if op == "Transpose" and one:
            return shapes.transposed(self.steps, node, x, one)
        if op == "SpaceToBatchND" and len(known) == 2:
            return windows.gathered(node, x, *known)
        if op == "BatchToSpaceND" and len(known) == 2:
            return windows.spread(node, x, known[1])
        if op == "Less" and one and one.array.size == 1 and one.array.item() == 0:
            return self.steps.add(node, "Below", {}, [x], x.step.shape)
        if op == "Cast" and not known:
            return self._cast(node, x)
        if op in ("ResizeBilinear", "ResizeNearestNeighbor") and one:
            return self._resized(node, x, one)
        raise unsupported(node, "is not known here")

    def _activated(self, node: Node, x: Flow) -> Flow:
        class_name, config = "Activation", {"activation": _ACTIVATIONS.get(node.op, "")}
        if node.op == "LeakyRelu":
            class_name, config = "LeakyReLU", {"negative_slope": number(node.attributes, "alpha", 0.2)}  # type: ignore[dict-item]
        if "oftmax" in node.op:
            x = self.steps.plain(x, node)
        return Flow(self.steps.add(node, class_name, config, [x], x.step.shape).step, x.turned)

    def _dense(self, node: Node, x: Flow, kernel: Known) -> Flow:
        flags = [key in node.attributes and node.attributes[key].b for key in ("transpose_a", "transpose_b")]
        array = kernel.array.T if flags[1] else kernel.array
        if x.turned and x.turned[-1].kind != "rows":
            x = self.steps.plain(x, node)
        shape = x.step.shape
        if flags[0] or array.ndim != 2 or shape[-1] != array.shape[0] or not (x.turned or len(shape) == 2):
            raise unsupported(node, f"has a matrix of shape {kernel.array.shape} for a tensor of shape {shape}")
        units = array.shape[1]
        weights = {"kernel": Known(array, kernel.sources)}
        made = self.steps.add(node, "Dense", {"units": units, "use_bias": False}, [x], (*shape[:-1], units), weights)
        return Flow(made.step, x.turned)

    def _linear(self, node: Node, x: Flow, value: Known) -> Flow:
        """Returns x with a number, or one for each channel, added to it or multiplied with it."""
        if value.array.dtype.kind in "iu" and value.array.size == 1 and node.op in _ADDS:
            return self.steps.add(node, "Shifted", {"by": int(value.array.item())}, [x], x.step.shape)
        if value.is_open or value.array.dtype.kind not in "fV":
            raise unsupported(node, "computes on integers")
        array, channels = value.array, x.step.shape[-1]
        if node.op == "RealDiv":
            array = 1 / array
        elif node.op == "Sub":
            array = -array
        adds = node.op in _ADDS or node.op == "Sub"
        if array.size == 1 and not value.sources and channels != 1:
            return self._rescaled(node, x, shortest(array.item()), adds=adds)
        if array.size != channels or (array.ndim and array.shape[-1] != channels) or array.ndim > len(x.shape):
            raise unsupported(node, "computes with a constant that is not one number for each channel")
        kept = value if array is value.array else Known(array, value.sources)
        key, class_name = ("bias", "Bias") if adds else ("kernel", "Scale")
        return Flow(self.steps.add(node, class_name, {}, [x], x.step.shape, {key: kept}).step, x.turned)

    def _rescaled(self, node: Node, x: Flow, factor: float, *, adds: bool) -> Flow:
        if factor == (0.0 if adds else 1.0):
            return x
        config = {"scale": 1.0 if adds else factor, "offset": factor if adds else 0.0}
        return Flow(self.steps.add(node, "Rescaling", config, [x], x.step.shape).step, x.turned)

    def _merged(self, node: Node, flows: list[Flow], known: list[Known]) -> Flow:
        flows = [self.steps.plain(x, node) for x in flows]
        shape = flows[0].step.shape
        if node.op == "ConcatV2" and len(known) == 1:
            return self._concatenated(node, flows, known[0].integers()[0] % len(shape))
        if node.op not in _MERGES or known or (node.op == "Sub" and len(flows) != 2):
            raise unsupported(node, "is not known of several tensors")
        if any(len(x.step.shape) != len(shape) for x in flows):
            raise unsupported(node, "works on tensors of different ranks")
        wide = tuple(_broadcast([x.step.shape[axis] for x in flows], node) for axis in range(len(shape)))
        return self.steps.add(node, _MERGES[node.op], {}, flows, wide, listed=True)

    def _concatenated(self, node: Node, flows: list[Flow], axis: int) -> Flow:
        shape = flows[0].step.shape
        lengths = [x.step.shape[axis] for x in flows]
        if axis == 0 or any(len(x.step.shape) != len(shape) for x in flows):
            raise unsupported(node, "joins examples of a batch")
        total: Side = None if None in lengths else sum(side or 0 for side in lengths)
        joined = (*shape[:axis], total, *shape[axis + 1 :])
        last = axis == len(shape) - 1
        return self.steps.add(node, "Concatenate", {"axis": -1 if last else axis}, flows, joined, listed=True)

    def _maybe_dropout(self, node: Node, x: Flow) -> Flow:
        scope, _ = scope_and_leaf(node.name)
        rate = self.dropouts.pop(scope.rpartition("/")[2], None)
        if rate is None:
            return x
        return Flow(self.steps.add(node, "Dropout", {"rate": rate}, [x], x.step.shape).step, x.turned)

    def _counted_from_the_end(self, node: Node, flows: list[Flow]) -> Flow:
        """Returns row numbers, of which negative ones count from the end of a table: embeddings do that themselves."""
        below, shifted, x = (flow.step for flow in flows)
        if (below.class_name, shifted.class_name) != ("Below", "Shifted") or below.inputs + shifted.inputs != [x, x]:
            raise unsupported(node, "chooses by a condition")
        self._rows[id(x)] = shifted.config["by"]
        return flows[2]

    def _embedded(self, node: Node, table: Known, x: Flow) -> Flow:
        x = self.steps.plain(x, node)
        rows, width = table.array.shape if table.array.ndim == 2 else (0, 0)
        if not rows or self._rows.get(id(x.step), rows) != rows:
            raise unsupported(node, "takes rows out of something that is no table")
        shape = (*x.step.shape, width)
        config = {"input_dim": rows, "output_dim": width}
        return self.steps.add(node, "Embedding", config, [x], shape, {"embeddings": table})

    def _cast(self, node: Node, x: Flow) -> Flow:
        """Layers make floats of integers by themselves; an embedding makes integers of floats.

        Floats of another precision are the same numbers, since all layers compute in float32.
        """
        source, target = (_FLOATS.get(node.attributes[key].type) for key in ("SrcT", "DstT"))
        if source and target:
            self.rounded |= {source, target} - {"float32"}
            return x
        if target == "float32":
            return self.steps.add(node, "Rescaling", {"scale": 1.0, "offset": 0.0}, [x], x.step.shape)
        if node.attributes["DstT"].type in (3, 9) and x.step.class_name == "Input":
            return x
        raise unsupported(node, "changes the type of its numbers")

    def _resized(self, node: Node, x: Flow, size: Known) -> Flow:
        x = self.steps.plain(x, node)
        height, width = size.integers()
        halved = "half_pixel_centers" in node.attributes and node.attributes["half_pixel_centers"].b
        if not halved or word(node.attributes, "data_format", "NHWC") != "NHWC":
            raise unsupported(node, "resizes by TensorFlow's old rule")
        how = "bilinear" if node.op == "ResizeBilinear" else "nearest"
        config: dict[str, Any] = {"height": height, "width": width, "interpolation": how}
        return self.steps.add(node, "Resizing", config, [x], (None, height, width, x.step.shape[-1]))


def _read(variable: Variable) -> Known:
    return Known(variable.array, (variable.name,))


def _broadcast(listed: list[Side], node: Node) -> Side:
    wide = {side for side in listed if side != 1}
    if len(wide) > 1:
        raise bad_graph(f"{node.name[:120]!r} is given tensors that do not fit one another")
    return wide.pop() if wide else 1
