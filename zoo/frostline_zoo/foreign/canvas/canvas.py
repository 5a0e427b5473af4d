"""The canvas: layers as they are drawn, one call each, and the report of what became of the file's parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from frostline_zoo.foreign.canvas.held import (
    Constant,
    Held,
    Order,
    Side,
    UnsayableError,
    as_is,
    channels_last,
    same_memory,
)
from frostline_zoo.foreign.draft import Draft, DraftLayer, Report
from frostline_zoo.manifest import Call, Input, TensorRef
from frostline_zoo.tensors import Array

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_MAX_NAME = 150


class Canvas:
    """A draft in the making."""

    def __init__(self) -> None:
        self.report = Report()
        self._inputs: list[Input] = []
        self._layers: dict[str, DraftLayer] = {}
        self._names: set[str] = set()
        self._permuted: dict[tuple[TensorRef, Order], TensorRef] = {}
        self._unshaped: dict[TensorRef, Held] = {}

    def input(self, name: str, shape: tuple[Side, ...], order: Order, dtype: str) -> Held:
        """Adds an input; `shape` with the batch, as the other tool has it."""
        if _is_map(len(shape), order):
            self.report.notes.append(f"input {name[:80]!r} is taken with its channels last")
        own = self._unique(name)
        self._inputs.append(Input(own, tuple(shape[axis] for axis in order[1:]), dtype))
        return Held(TensorRef(own), shape, order)

    def output(self, name: str, tensor: Held) -> Held:
        """Returns a tensor as the network puts it out: feature maps with their channels last, others as they are there.

        Raises:
            UnsayableError: its batch axis was moved.
        """
        if _is_map(tensor.rank, tensor.order):
            self.report.notes.append(f"output {name[:80]!r} is put out with its channels last")
            return tensor
        return self.held(tensor, as_is(tensor.rank))

    def layer(
        self,
        name: str,
        class_name: str,
        inputs: Held | Sequence[Held],
        config: dict[str, Any] | None = None,
        *,
        shape: tuple[Side, ...] | None = None,
        order: Order | None = None,
        weights: Mapping[str, Constant] | None = None,
        constants: tuple[Array, ...] = (),
        further: Mapping[str, Held] | None = None,
        never_negative: bool = False,
    ) -> Held:
        """Adds a layer with one call, and returns its output.

        Args:
            name: what to name it; it is made plain and unique.
            class_name: a Keras layer class.
            inputs: what it is called on: one tensor, or a list that it is given as a list.
            config: its Keras configuration.
            shape: its output's, as the other tool has it; its first input's by default.
            order: in which Keras holds its output; its first input's by default.
            weights: by Keras's names, in Keras's order and layouts.
            constants: in place of weights, of a layer that holds the same ones in every network; no file has them.
            further: tensors that it is called on by the names of arguments.
            never_negative: whether its output is.
        """
        own = self._unique(name)
        first = inputs if isinstance(inputs, Held) else inputs[0]
        argument: Any = _tensor(inputs) if isinstance(inputs, Held) else [_tensor(each) for each in inputs]
        call = Call([argument], {key: _tensor(held) for key, held in (further or {}).items()})
        arrays = tuple(constant.array.astype(np.float32, copy=False) for constant in (weights or {}).values())
        self._layers[own] = DraftLayer(own, class_name, config or {}, (call,), arrays or constants)
        for key, constant in (weights or {}).items():
            self._note(own, key, constant)
        return Held(TensorRef(own), shape or first.shape, order or first.order, never_negative)

    def held(self, tensor: Held, order: Order) -> Held:
        """Returns a tensor held in another order, permuted where that moves its numbers.

        Raises:
            UnsayableError: the order has another batch axis.
        """
        if order == tensor.order:
            return tensor
        if order[0] != tensor.batch_axis:
            raise UnsayableError("works across examples: its batch axis was moved")
        moved = replace(tensor, order=order)
        if same_memory(tensor.shape, tensor.order, order) and None not in tensor.shape:
            return self.reshaped(tensor, moved)
        if (tensor.ref, order) not in self._permuted:
            dims = [tensor.place(axis) for axis in order[1:]]
            made = self.layer(f"{tensor.ref.layer}_permuted", "Permute", tensor, {"dims": dims}, order=order)
            self._permuted[tensor.ref, order] = made.ref
        return replace(moved, ref=self._permuted[tensor.ref, order])

    def reshaped(self, tensor: Held, target: Held) -> Held:
        """Returns a tensor as `target` has its shape and order, the numbers in the same sequence.

        A reshape of a reshape is one reshape of the first.
        """
        source = self._unshaped.get(tensor.ref, tensor)
        if target.sides == tensor.sides:
            return replace(target, ref=tensor.ref)
        if target.sides == source.sides:
            return replace(target, ref=source.ref)
        sides = list(target.sides)
        made = self.layer(f"{source.ref.layer}_reshaped", "Reshape", source, {"target_shape": sides})
        self._unshaped[made.ref] = source
        return replace(target, ref=made.ref)

    def with_bias(self, tensor: Held, bias: Array, sources: tuple[str, ...]) -> bool:
        """Gives the layer that makes `tensor`, and that nothing else uses, a bias (units,), where it can have one."""
        layer = self._layers.get(tensor.ref.layer)
        if layer is None:
            return False
        if layer.class_name == "EinsumDense" and layer.config["equation"].split(",")[1].startswith(
            layer.config["equation"][tensor.rank - 1] + "->"
        ):
            config = {**layer.config, "bias_axes": layer.config["equation"][tensor.rank - 1]}
        elif layer.config.get("use_bias") is False:
            config = {**layer.config, "use_bias": True}
        else:
            return False
        weights = (*layer.weights, bias.astype(np.float32))
        self._layers[layer.name] = replace(layer, config=config, weights=weights)
        self._note(layer.name, "bias", Constant(bias, sources))
        return True

    def is_integer(self, tensor: Held) -> bool:
        """Whether a tensor is an input of whole numbers."""
        return any(entry.name == tensor.ref.layer and entry.dtype != "float32" for entry in self._inputs)

    def draft(self, outputs: Sequence[Held]) -> Draft:
        """Returns what was drawn, `outputs` in the order of the file."""
        refs = tuple(output.ref for output in outputs)
        return Draft(tuple(self._inputs), tuple(self._layers.values()), refs, self.report)

    def _note(self, layer: str, key: str, constant: Constant) -> None:
        ours = f"{layer}/{key}"
        for source in constant.sources:
            if source == ours:
                self.report.matched.append(ours)
            else:
                self.report.renamed.append((source, ours))
        if not constant.sources:
            self.report.missing.append(ours)

    def _unique(self, name: str) -> str:
        plain = _NOT_IN_NAMES.sub("_", name).strip("_.-")[:_MAX_NAME].replace("..", "_") or "layer"
        candidate, count = plain, 0
        while candidate in self._names:
            count += 1
            candidate = f"{plain}_{count}"
        self._names.add(candidate)
        return candidate


def file_order(canvas: Canvas, tensor: Held) -> Held:
    """Returns a tensor held in the order of the file."""
    return canvas.held(tensor, (tensor.batch_axis, *(axis for axis in as_is(tensor.rank) if axis != tensor.batch_axis)))


def _is_map(rank: int, order: Order) -> bool:
    return rank > 2 and order == channels_last(rank)


def _tensor(held: Held) -> dict[str, Any]:
    return {"tensor": list(held.ref)}
