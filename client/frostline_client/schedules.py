"""Learning rate schedules, by their Keras names and arguments: `optimizers.Adam(schedules.CosineDecay(0.01, 1000))`."""

from __future__ import annotations

from collections.abc import Callable

from frostline_client.spelling import Spelled, speller

_POSITIONAL = {
    "ExponentialDecay": ("initial_learning_rate", "decay_steps", "decay_rate"),
    "InverseTimeDecay": ("initial_learning_rate", "decay_steps", "decay_rate"),
    "PiecewiseConstantDecay": ("boundaries", "values"),
}


def __getattr__(name: str) -> Callable[..., Spelled]:
    return speller("schedules", name, _POSITIONAL, default=("initial_learning_rate", "decay_steps"))
