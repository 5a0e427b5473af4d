"""Compiled epochs, kept: a job whose head, optimizer and shapes were compiled before starts at once."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from frostline_server.engine import CompiledEpoch
from frostline_server.training.keras_names import make
from frostline_server.training.objective import Objective
from frostline_server.training.recipe import Stage

Array = npt.NDArray[Any]

_KEPT = 16


class Programs:
    """The last few compiled epochs of this process, by what they compute."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, CompiledEpoch] = OrderedDict()

    def epoch_of(self, head: keras.Model, stage: Stage, objective: Objective) -> CompiledEpoch:
        """Returns the compiled epoch of a head that looks like `head`, with `head`'s values and a fresh optimizer.

        The program's own head is the one that trains; `values_of` and `set_values` carry values over.
        """
        graph = {key: value for key, value in head.get_config().items() if key != "name"}
        key = json.dumps(
            [
                graph,
                stage.optimizer.to_json(),
                objective.loss.to_json(),
                [metric.to_json() for metric in objective.metrics],
                stage.batch_size,
            ],
            sort_keys=True,
            default=str,
        )
        program = self._kept.pop(key, None)
        if program is None:
            program = CompiledEpoch(
                head,
                make("optimizer", stage.optimizer),
                objective.make_loss(),
                objective.make_metrics(),
                stage.batch_size,
            )
        else:
            # A kept head is made of an earlier job's layers, and a later stage of that job may have frozen some.
            for kept, wanted in zip(program.head.layers, head.layers, strict=True):
                kept.trainable = wanted.trainable
            set_values(program.head.variables, values_of(head.variables))
            fresh = make("optimizer", stage.optimizer)
            fresh.build(program.head.trainable_variables)
            set_values(program.optimizer.variables, values_of(fresh.variables))
        self._kept[key] = program
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return program


def values_of(variables: Sequence[keras.Variable]) -> list[Array]:
    """Returns copies of the variables' values."""
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]


def set_values(variables: Sequence[keras.Variable], values: Sequence[Array]) -> None:
    """Sets the variables to the values, in order."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
