"""Optimizers, by their Keras names and arguments: `optimizers.Adam(0.01)`."""

from __future__ import annotations

from collections.abc import Callable

from frostline_client.spelling import Spelled, speller


def __getattr__(name: str) -> Callable[..., Spelled]:
    return speller("optimizers", name, {}, default=("learning_rate",))
