"""Warming up: what the first job or call would wait for is done before it comes."""

from __future__ import annotations

import gc

import keras
import numpy as np

from frostline_server.engine.epoch import CompiledEpoch, Slice
from frostline_server.engine.forward import compiled_forward


def warm_up(*, train: bool) -> None:
    """Runs a tiny network, so that TensorFlow is loaded; trains it too, so that its compilers are, where asked.

    What is loaded by then stays for good, so the garbage collector is told never to look through it again: it takes a
    fifth of a second each time, again and again while a network is built or compiled, and nothing else runs meanwhile.
    """
    _run_a_tiny_network(train)
    gc.collect()
    gc.freeze()


def _run_a_tiny_network(train: bool) -> None:
    inputs = keras.Input((8, 8, 3))
    tensor = inputs
    for layer in _layers():
        tensor = layer(tensor)
    trunk = keras.Model(inputs, tensor)
    features = compiled_forward(trunk)([np.zeros((8, 8, 8, 3), np.float32)])
    if not train:
        return
    inputs = keras.Input(tensor.shape[1:])
    head = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(inputs))
    metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
    loss = keras.losses.SparseCategoricalCrossentropy()
    epoch = CompiledEpoch(head, keras.optimizers.Adam(), loss, metrics, 3)  # which leaves two over
    examples = Slice(features, np.zeros(8, np.int64), np.arange(8))
    epoch.at_once(examples, examples)


def _layers() -> list[keras.Layer]:
    """Returns one of each of the layers that most networks have: the first of its kind takes longest to make."""
    return [
        keras.layers.Conv2D(4, 3),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.DepthwiseConv2D(3, padding="same"),
        keras.layers.Activation("relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(4, activation="relu"),
    ]
