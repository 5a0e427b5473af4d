"""Warming up: what the first job or call would wait for is done before it comes."""

from __future__ import annotations

import keras
import numpy as np

from frostline_server.engine.epoch import CompiledEpoch, Slice
from frostline_server.engine.forward import compiled_forward


def warm_up(*, train: bool) -> None:
    """Runs a tiny network, so that TensorFlow is loaded; trains it too, so that its compilers are, where asked."""
    inputs = keras.Input((4,))
    head = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(inputs))
    rows, labels = np.zeros((8, 4), np.float32), np.zeros(8, np.int64)
    compiled_forward(head)([rows])
    if not train:
        return
    metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
    loss = keras.losses.SparseCategoricalCrossentropy()
    epoch = CompiledEpoch(head, keras.optimizers.Adam(), loss, metrics, 4)
    examples = Slice([rows], labels, np.arange(8))
    epoch.at_once(examples, examples)
