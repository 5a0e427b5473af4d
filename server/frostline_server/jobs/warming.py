"""Warming up: what the first job or call would wait for is done before it comes."""

from __future__ import annotations

import keras
import numpy as np

from frostline_server.engine import CompiledEpoch, compiled_forward


def warm_up() -> None:
    """Trains and runs a tiny network, so that TensorFlow's compilers and kernels are loaded."""
    inputs = keras.Input((4,))
    head = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(inputs))
    metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
    loss = keras.losses.SparseCategoricalCrossentropy()
    epoch = CompiledEpoch(head, keras.optimizers.Adam(), loss, metrics, 4)
    rows, labels = np.zeros((8, 4), np.float32), np.zeros(8, np.int64)
    epoch([rows], labels, np.arange(8), ([rows], labels))
    compiled_forward(head)([rows])
