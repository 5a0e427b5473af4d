"""Things of Keras as recipes spell them."""

from __future__ import annotations

import numpy as np
import pytest

from frostline_client import initializers, layers, losses, optimizers, regularizers, schedules
from frostline_client.errors import InvalidError


def test_arguments_by_position_get_the_names_that_keras_gives_them() -> None:
    assert layers.Dense(5, activation="softmax") == {"Dense": {"units": 5, "activation": "softmax"}}
    assert layers.Conv2D(8, (3, 3)) == {"Conv2D": {"filters": 8, "kernel_size": [3, 3]}}
    assert layers.Flatten() == {"Flatten": {}}
    assert optimizers.AdamW(1e-3, weight_decay=0.1) == {"AdamW": {"learning_rate": 1e-3, "weight_decay": 0.1}}
    assert losses.BinaryCrossentropy(from_logits=True) == {"BinaryCrossentropy": {"from_logits": True}}


def test_things_nest() -> None:
    spelled = layers.Dense(3, kernel_regularizer=regularizers.L2(1e-3), kernel_initializer=initializers.HeNormal())
    assert spelled["Dense"]["kernel_regularizer"] == {"L2": {"l2": 1e-3}}
    assert spelled["Dense"]["kernel_initializer"] == {"HeNormal": {}}
    scheduled = optimizers.SGD(schedules.ExponentialDecay(0.1, 100, 0.9))
    assert scheduled["SGD"]["learning_rate"]["ExponentialDecay"]["decay_rate"] == 0.9


def test_numbers_of_numpy_become_those_of_json() -> None:
    spelled = layers.Rescaling(np.float32(0.5), offset=np.array([1, 2]))
    assert spelled == {"Rescaling": {"scale": 0.5, "offset": [1, 2]}}
    assert type(spelled["Rescaling"]["scale"]) is float


def test_a_name_that_is_not_known_here_is_for_the_server_to_judge() -> None:
    assert layers.Novel(units=1) == {"Novel": {"units": 1}}
    with pytest.raises(InvalidError, match=r"layers\.Novel takes 0 arguments by position here: name the others"):
        layers.Novel(1)


def test_an_argument_given_twice_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"layers\.Dense has its units twice"):
        layers.Dense(5, units=3)


def test_private_names_are_not_things_of_keras() -> None:
    with pytest.raises(AttributeError):
        layers.__wrapped__  # noqa: B018
