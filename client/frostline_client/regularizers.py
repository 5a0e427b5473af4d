"""Regularizers, by their Keras names and arguments: `layers.Dense(5, kernel_regularizer=regularizers.L2(1e-3))`."""

from __future__ import annotations

from collections.abc import Callable

from frostline_client.spelling import Spelled, speller

_POSITIONAL = {"L1": ("l1",), "L2": ("l2",), "L1L2": ("l1", "l2")}


def __getattr__(name: str) -> Callable[..., Spelled]:
    return speller("regularizers", name, _POSITIONAL)
