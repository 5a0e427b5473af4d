"""Where a stage stands: its epochs so far, its best weights, and whether it is time to stop."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_server.training.recipe import EarlyStopping
from frostline_zoo.errors import InvalidError

Array = npt.NDArray[Any]


@dataclass
class Progress:
    """The epochs of one stage so far. It keeps no weights without early stopping.

    Attributes:
        history: one value an epoch, for each metric.
        best_epoch: the epoch with the best value of what is monitored; -1 before the first.
        best_values: the head's values after it.
        waited: epochs since.
        rising: the metrics that are better the higher they are.
    """

    early_stopping: EarlyStopping | None
    history: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = -1
    best_values: list[Array] | None = None
    waited: int = 0
    rising: Collection[str] = ()

    @property
    def epochs_run(self) -> int:
        """How many epochs have ended."""
        return len(next(iter(self.history.values()), []))

    def add(self, metrics: dict[str, float]) -> bool:
        """Takes in an epoch's figures; returns whether it is the best so far.

        Raises:
            InvalidError: the loss, or what early stopping goes by, is not a number any more (DIVERGED).
        """
        epoch = self.epochs_run
        for name, value in metrics.items():
            self.history.setdefault(name, []).append(value)
        rule = self.early_stopping
        monitor = (rule and rule.monitor) or ("val_loss" if rule and "val_loss" in metrics else "loss")
        for name in ("loss", monitor):
            if not math.isfinite(metrics[name]):
                raise self._diverged(f"the {name} is {metrics[name]}")
        if rule is None:
            return False
        sign = -1.0 if monitor.removeprefix("val_") in self.rising else 1.0
        value = sign * metrics[monitor]
        best = sign * self.history[monitor][self.best_epoch] if self.best_epoch >= 0 else math.inf
        if value < best - rule.min_delta or self.best_epoch < 0:
            self.best_epoch, self.waited = epoch, 0
            return True
        self.waited += 1
        return False

    def check_values(self, values: Iterable[Array]) -> None:
        """Checks what the head ends with: the last step may overflow what no loss has seen.

        Raises:
            InvalidError: a weight is not a number (DIVERGED).
        """
        if not all(np.isfinite(value).all() for value in values):
            raise self._diverged("a weight is not a finite number")

    def _diverged(self, what: str) -> InvalidError:
        mend = "scale the inputs, lower the learning rate, or clip the gradients"
        return InvalidError(f"{what} after epoch {self.epochs_run}: {mend}", reason="DIVERGED")

    def should_stop(self) -> bool:
        """Whether patience has run out."""
        return self.early_stopping is not None and self.waited >= max(self.early_stopping.patience, 1)
