"""Weights put in place: variables that are declared first, checked, and only then filled.

Keras allocates and randomly fills every variable of a layer when the layer is first called. Within `declared` it only
notes their shapes, so that a network too large, or one that does not fit its weights, is refused before it costs
memory; `fill` then makes each variable from its value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state  # where Keras lists declared variables; it has no public name

from frostline_zoo.errors import ExhaustedError, InvalidError
from frostline_zoo.foreign.tree import Group, Stored
from frostline_zoo.manifest import Parameter
from frostline_zoo.tensors import Array

MAX_PARAMETER_BYTES = 4 << 30
_DECLARED = "uninitialized_variables"


@contextmanager
def declared() -> Iterator[None]:
    """Within it, calling a layer for the first time declares its variables without allocating them."""
    before = global_state.get_global_attribute(_DECLARED, [])
    global_state.set_global_attribute(_DECLARED, [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(_DECLARED, before)


def fill(layer: Any, values: Mapping[str, Array]) -> None:
    """Makes a layer's declared variables: its weights from `values`, by parameter name, others as initialized."""
    given = {id(variable): values[name] for name, variable in named_weights(layer).items() if name in values}
    with keras.name_scope(layer.name):  # exports carry these names
        for variable in layer.variables:
            if id(variable) in given:
                variable._initializer = _constant(given[id(variable)])
            if variable._value is None:  # a layer that was made before has its chance already
                variable._deferred_initialize()
    if hasattr(layer, "finalize_state"):  # Normalization works with what it derives from its weights
        layer.finalize_state()


def _constant(value: Array) -> Callable[..., Array]:
    # A copy: TensorFlow may keep the memory it is given, and a mapped file's is not its own.
    return lambda shape, dtype: np.array(value)


def named_weights(layer: Any) -> dict[str, Any]:
    """Returns a layer's weights by their names in its blob: Keras's own short names, made unique by `_1`, `_2`, ..."""
    named: dict[str, Any] = {}
    for variable in layer.weights:
        name, count = variable.name, 0
        while name in named:
            count += 1
            name = f"{variable.name}_{count}"
        named[name] = variable
    return named


def parameters_of(layer: Any) -> tuple[Parameter, ...]:
    """Returns what a layer's weights are, in the order of Keras's `layer.weights`."""
    return tuple(
        Parameter(name, tuple(int(side) for side in variable.shape), keras.backend.standardize_dtype(variable.dtype))
        for name, variable in named_weights(layer).items()
    )


def check_size(layers: Iterable[Any]) -> None:
    """Checks what layers, declared or not, take in memory.

    Raises:
        ExhaustedError: it is more than 4 GiB.
    """
    total = sum(
        math.prod(parameter.shape) * np.dtype(parameter.dtype).itemsize
        for layer in layers
        for parameter in parameters_of(layer)
    )
    if total > MAX_PARAMETER_BYTES:
        limit = MAX_PARAMETER_BYTES >> 30
        raise ExhaustedError(
            f"the network's weights take more than {limit} GiB: take a smaller one", reason="LIMIT_PARAMS"
        )


def stored_at(group: Group | Stored | None, path: str) -> Stored:
    """Returns the array at a path below a group.

    Raises:
        InvalidError: there is none.
    """
    found = group.at(path) if isinstance(group, Group) else None
    if found is None or isinstance(found, Group):
        raise InvalidError(f"the file has no weights {path[:80]!r}", reason="BAD_WEIGHTS")
    return found


class Values:
    """Values for declared variables, from a file; each is checked against its variable as it is put."""

    def __init__(self) -> None:
        self._arrays: dict[int, Array] = {}

    def put(self, variable: Any, stored: Stored, layer: str) -> None:
        """Takes a variable's value from an array.

        Raises:
            InvalidError: the array is not of the variable's shape.
        """
        shape = tuple(variable.shape)
        if tuple(stored.shape) != shape:
            text = f"layer {layer[:80]!r}: {variable.name} has the shape {shape}, the file's weights {stored.shape}"
            raise InvalidError(text, reason="BAD_WEIGHTS")
        dtype = np.dtype(keras.backend.standardize_dtype(variable.dtype))
        self._arrays[id(variable)] = np.asarray(stored[()]).astype(dtype, copy=False)

    def of(self, variable: Any) -> Array:
        """Returns a variable's value.

        Raises:
            InvalidError: the file had none.
        """
        if id(variable) not in self._arrays:
            raise InvalidError(f"the file has no weights for {variable.path}", reason="BAD_WEIGHTS")
        return self._arrays[id(variable)]
