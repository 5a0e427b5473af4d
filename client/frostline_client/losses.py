"""Losses, by their Keras names and arguments: `losses.CategoricalCrossentropy(label_smoothing=0.1)`."""

from __future__ import annotations

from collections.abc import Callable

from frostline_client.spelling import Spelled, speller


def __getattr__(name: str) -> Callable[..., Spelled]:
    return speller("losses", name, {})
