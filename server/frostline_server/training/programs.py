"""Compiled programs, kept: a job whose trunk, head, optimizer and shapes were compiled before starts at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any, Protocol, TypeVar

import keras
import numpy as np
import numpy.typing as npt

from frostline_server.engine.epoch import CompiledEpoch
from frostline_server.training.keras_names import make
from frostline_server.training.objective import Objective
from frostline_server.training.recent import Recent
from frostline_server.training.recipe import Stage

Array = npt.NDArray[Any]

_KEPT_EPOCHS = 16
_KEPT_TRUNKS = 8
_KEPT_TRUNK_BYTES = 1 << 30


class TrunkProgram(Protocol):
    """A compiled trunk.

    Attributes:
        layers: the Keras layers that it runs.
        size_bytes: what it has in memory beside them.
    """

    layers: Sequence[keras.Layer]
    size_bytes: int


Compiled = TypeVar("Compiled", bound=TrunkProgram)


class Programs:
    """The last few compiled epochs and trunks of this process, by what they compute."""

    def __init__(self) -> None:
        self._epochs: Recent[CompiledEpoch] = Recent(_KEPT_EPOCHS)
        self._trunks: Recent[Any] = Recent(_KEPT_TRUNKS, _KEPT_TRUNK_BYTES, lambda trunk: trunk.size_bytes)

    def trunk_of(self, key: Hashable, make_trunk: Callable[[], Compiled]) -> Compiled:
        """Returns the trunk that `key` names by the digests of its ends, made where it is not there."""
        trunk: Compiled = self._trunks.get(key, make_trunk)
        return trunk

    def forget_trunks_of(self, layers: Collection[keras.Layer]) -> None:
        """Lets go of the trunks that run one of the layers, since it is going to train: their digests will be wrong."""
        changing = {id(layer) for layer in layers}
        self._trunks.drop(lambda trunk: any(id(layer) in changing for layer in trunk.layers))

    def epoch_of(self, head: keras.Model, stage: Stage, objective: Objective) -> CompiledEpoch:
        """Returns the compiled epoch of a head that looks like `head`, with `head`'s values and a fresh optimizer.

        The program's own head is the one that trains; `values_of` and `set_values` carry values over.
        """
        graph = {key: value for key, value in head.get_config().items() if key != "name"}
        optimizer = make("optimizer", stage.optimizer)
        chosen = optimizer.get_config() | {"name": ""}
        if isinstance(chosen["learning_rate"], float):  # a variable of the optimizer's, as a schedule is not
            chosen["learning_rate"] = 0.0
        key = json.dumps(
            [
                graph,
                type(optimizer).__name__,
                chosen,
                objective.loss.to_json(),
                [metric.to_json() for metric in objective.metrics],
                stage.batch_size,
            ],
            sort_keys=True,
            default=str,
        )
        program = self._epochs.take(key)
        if program is None:
            program = CompiledEpoch(head, optimizer, objective.make_loss(), objective.make_metrics(), stage.batch_size)
        else:
            # A kept head is made of an earlier job's layers, and a later stage of that job may have frozen some: then
            # trunks run them too, under digests that are about to be wrong.
            self.forget_trunks_of(program.head.layers)
            for kept, wanted in zip(program.head.layers, head.layers, strict=True):
                kept.trainable = wanted.trainable
            set_values(program.head.variables, values_of(head.variables))
            optimizer.build(program.head.trainable_variables)
            set_values(program.optimizer.variables, values_of(optimizer.variables))
        self._epochs.put(key, program)
        return program


def values_of(variables: Sequence[keras.Variable]) -> list[Array]:
    """Returns copies of the variables' values."""
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]


def set_values(variables: Sequence[keras.Variable], values: Sequence[Array]) -> None:
    """Sets the variables to the values, in order."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
