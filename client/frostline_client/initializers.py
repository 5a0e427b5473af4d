"""Initializers, by their Keras names and arguments: `layers.Dense(5, kernel_initializer=initializers.HeNormal())`."""

from __future__ import annotations

from collections.abc import Callable

from frostline_client.spelling import Spelled, speller


def __getattr__(name: str) -> Callable[..., Spelled]:
    return speller("initializers", name, {})
