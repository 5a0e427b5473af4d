"""One call of a layer, as the functions that write layers see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from frostline_zoo.errors import InvalidError
from frostline_zoo.networks.onnx_writer.graph import Graph
from frostline_zoo.tensors import Array

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Step:
    """A call of a layer.

    Attributes:
        graph: where it is written.
        layer: the built Keras layer.
        config: its configuration.
        inputs: the names of the values it is called on; empty where an argument is left out.
        shapes: their shapes, (None, ...); () where there is none.
        output_shape: that of its only output.
    """

    graph: Graph
    layer: Any
    config: dict[str, Any]
    inputs: list[str]
    shapes: list[Shape]
    output_shape: Shape

    @property
    def x(self) -> str:
        """The value it is called on, where that is one."""
        return self.inputs[0]

    @property
    def shape(self) -> Shape:
        """The shape of `x`."""
        return self.shapes[0]

    @property
    def rank(self) -> int:
        """How many axes `x` has, the batch included."""
        return len(self.shape)

    def weight(self, parameter: str, value: Any = None) -> str:
        """Adds one of the layer's weights, or `value` made of it, and returns its name."""
        return self.graph.weight(parameter, self.array(parameter) if value is None else value)

    def array(self, parameter: str) -> Array:
        """Returns one of the layer's weights."""
        array: Array = keras.ops.convert_to_numpy(getattr(self.layer, parameter))
        return array

    def refusal(self, what: str) -> InvalidError:
        """Returns the refusal of something about the layer."""
        return unwritten(self.layer, what)

    def require(self, is_said: bool, what: str) -> None:
        """Raises `refusal(what)` unless ONNX can say it."""
        if not is_said:
            raise self.refusal(what)


def unwritten(layer: Any, what: str) -> InvalidError:
    """Returns the refusal of a layer that is not written as ONNX."""
    text = f"layer {layer.name!r} ({type(layer).__name__}): {what} is not written as ONNX"
    return InvalidError(f"{text}: export as saved_model", reason="UNSUPPORTED_LAYER", layer=layer.name)
