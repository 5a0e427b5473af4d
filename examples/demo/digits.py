"""Handwritten digits of 8 by 8 pixels, which scikit-learn brings along: a network for 0 to 4 is reused for 5 to 9."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import sklearn.datasets
from progress import Progress
from task import Task

from frostline_client import Client, layers, optimizers

FEW = 5
"""Examples of each new class."""

POOL = 60
"""Of each new class, the first so many may be trained on; accuracy is measured on all others."""

PREPROCESSING = {"scale": 1 / 16}


def prepare(zoo: Client, seeds: Iterable[int], progress: Progress) -> Task:
    """Pushes the digits and trains the base."""
    images, digits = sklearn.datasets.load_digits(return_X_y=True)
    x = images.astype(np.uint8).reshape(-1, 8, 8, 1)
    old, new = digits < 5, digits >= 5
    zoo.datasets.push("digits-0-4", x[old], digits[old])
    x, y = x[new], digits[new] - 5
    places = [np.flatnonzero(y == label) for label in range(5)]
    held_out = np.concatenate([place[POOL:] for place in places])
    zoo.datasets.push("digits-5-9-held-out", x[held_out], y[held_out], class_names=list("56789"))
    for seed in seeds:
        draw = np.random.default_rng(seed)
        few = np.concatenate([draw.choice(place[:POOL], FEW, replace=False) for place in places])
        zoo.datasets.push(f"digits-5-9-few-{seed}", x[few], y[few], class_names=list("56789"))
    job = zoo.train(
        name="digits-0-4",
        head=network(),
        preprocessing=PREPROCESSING,
        data="digits-0-4",
        validation={"fraction": 0.2, "seed": 1},
        seed=1,
        optimizer=optimizers.Adam(learning_rate=0.001),
        batch_size=32,
        epochs=30,
    )
    progress.follow(job, f"a network for the digits 0 to 4, on {old.sum()} examples", 30)
    return Task(
        title=f"Digits 5 to 9, {FEW} examples of each, on a network for 0 to 4",
        notes=(),
        base=job.result().name,
        examples=[f"digits-5-9-few-{seed}" for seed in seeds],
        held_out="digits-5-9-held-out",
        frozen="conv3",
        thawed="pool",
        head=[layers.Flatten(), layers.Dense(5, activation="softmax")],
        scratch=network(),
        preprocessing=PREPROCESSING,
        epochs=40,
        batch_size=5,
        scratch_rate=0.001,
        head_rate=0.003,
        thawed_rate=0.0003,
    )


def network() -> list[Any]:
    """Returns a small convolutional network for five classes."""
    convolution = {"kernel_size": 3, "padding": "same", "activation": "relu"}
    return [
        layers.Conv2D(32, **convolution, name="conv1"),
        layers.Conv2D(64, **convolution, name="conv2"),
        layers.MaxPooling2D(2, name="pool"),
        layers.Conv2D(64, **convolution, name="conv3"),
        layers.Flatten(name="flatten"),
        layers.Dense(5, activation="softmax", name="classes"),
    ]
