"""A network's forward pass as a compiled program."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from frostline_server.engine.as_tensor import as_tensor
from frostline_zoo.errors import InvalidError

Array = npt.NDArray[Any]

# On a CPU the best batch is the largest whose widest tensor stays near the caches; benchmarks/fill.py measures it.
_WIDEST_TENSOR_BYTES = 32 << 20
_SMALLEST_BATCH, _LARGEST_BATCH = 16, 512
_FREE_SIDE = 128  # what a side that is left open counts as: a text of so many tokens


def forward_batch_size(model: keras.Model, largest: int = _LARGEST_BATCH) -> int:
    """Returns how many rows `compiled_forward` takes best: a power of two that depends on the network alone.

    It must not depend on the data or on a measurement: rows computed by one job and rows computed by another would come
    from different programs then, and differ in their last bits.
    """
    widest = max(
        (
            int(np.prod([side or _FREE_SIDE for side in tensor.shape[1:]], dtype=int)) * 4
            for operation in model.operations
            for node in operation._inbound_nodes
            for tensor in node.output_tensors
        ),
        default=4,
    )
    fitting = max(1, _WIDEST_TENSOR_BYTES // widest)
    return int(min(max(1 << (fitting.bit_length() - 1), _SMALLEST_BATCH), largest))


def compiled_forward(model: keras.Model) -> Callable[[Sequence[Array]], list[Array]]:
    """Returns the network in inference mode: one array an input -> one array an output.

    Every call must have the same batch size. Not XLA: on a CPU its depthwise convolutions are several times slower than
    TensorFlow's own kernels, and it is faster on none of the networks in benchmarks/fill.py.
    """
    return compiled(lambda inputs: _listed(model(one_or_all(inputs), training=False)))


@contextmanager
def taking_values() -> Iterator[None]:
    """Has a program say in words for people that a layer of it does not take a value. Raises InvalidError."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        raise InvalidError(
            "the network cannot take these rows: a value is outside what one of its layers takes, "
            "such as an index past the end of an Embedding",
            reason="VALUE_OUT_OF_RANGE",
        ) from error


def compiled(compute: Callable[[list[Any]], list[Any]]) -> Callable[[Sequence[Array]], list[Array]]:
    """Returns a function of tensors as one of arrays, compiled at the first call.

    What it returns may be the memory of what it was given, which must not change while that is used.
    """
    program = tf.function(compute, autograph=False)

    def run(inputs: Sequence[Array]) -> list[Array]:
        try:
            with taking_values():
                # The arrays are the tensors' own memory: `numpy` would copy it.
                return [np.asarray(output) for output in program([as_tensor(array) for array in inputs])]
        except ValueError as error:  # Keras's, of a side that the network leaves free
            shapes = ", ".join(str(array.shape[1:]) for array in inputs)
            text = f"the network cannot take rows of shape {shapes}: one of its layers does not fit such a size"
            raise InvalidError(text, reason="SHAPE_MISMATCH") from error

    return run


def can_run(layer: keras.Layer, inputs: Sequence[Any], output: Any) -> bool:
    """Whether TensorFlow can compile a layer as it trains, and finds the shape that Keras says.

    Some layers take tensors, as far as Keras can tell, that their code then has no use for.

    Args:
        layer: with its weights.
        inputs: the symbolic tensors that it is called on.
        output: what Keras says it puts out.
    """
    specs = [tf.TensorSpec((2, *tensor.shape[1:]), tensor.dtype) for tensor in inputs]
    given = {"training": True} if "training" in inspect.signature(layer.call).parameters else {}
    traced = tf.function(lambda *tensors: layer(one_or_all(list(tensors)), **given), autograph=False)
    try:
        found = traced.get_concrete_function(*specs).output_shapes
        return bool(tf.TensorShape(found).is_compatible_with((2, *output.shape[1:])))
    except Exception:  # whatever the layer's code happens to raise
        return False


def one_or_all(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
