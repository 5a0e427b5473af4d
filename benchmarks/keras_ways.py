"""What a user would write with Keras to train the top of a network on a folder of images, timed; in its own process.

    python benchmarks/keras_ways.py NETWORK.keras FOLDER '{"ways": ["frozen", "arrays"], "epochs": 20, ...}'

It prints the seconds of each way as JSON. Importing Keras is not counted; loading the network and decoding are.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

PREDICT_BATCH_SIZE = 128


class Clock(keras.callbacks.Callback):
    """Notes when epochs end."""

    def __init__(self) -> None:
        super().__init__()
        self.times = [time.perf_counter()]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Notes the time."""
        self.times.append(time.perf_counter())

    def left_out_seconds(self, epochs: int) -> float:
        """Returns what the epochs that were not run would have taken, each as long as the fastest that was."""
        return (epochs - len(self.times) + 1) * float(min(np.diff(self.times)))


class Ways:
    """The ways, for one network and one folder.

    Attributes:
        epochs: how many are counted.
        run_epochs: how many of those are run where the trunk runs in each.
    """

    def __init__(self, network: str, folder: str, *, scale: float, batch_size: int, epochs: int, run_epochs: int):
        self._network = network
        self._folder = folder
        self._scale = scale
        self._batch_size = batch_size
        self.epochs = epochs
        self.run_epochs = run_epochs

    def frozen(self) -> float:
        """All but the head frozen, `fit` on a decoded and cached pipeline; returns seconds."""
        started = time.perf_counter()
        pipeline = self.pipeline()
        return time.perf_counter() - started + self.fit(pipeline, None)

    def arrays(self) -> float:
        """The trunk's outputs extracted once, `fit` of the head on the arrays; returns seconds."""
        started = time.perf_counter()
        images = self._images(PREDICT_BATCH_SIZE, shuffle=False)
        labels = np.array([images.class_names.index(Path(path).parent.name) for path in images.file_paths])
        features = self._trunk().predict(self._scaled(images).prefetch(tf.data.AUTOTUNE), verbose=0)
        head = keras.Sequential([keras.Input(features.shape[1:]), self._softmax(len(images.class_names))])
        self._compile(head)
        head.fit(features, labels, batch_size=self._batch_size, epochs=self.epochs, verbose=0)
        return time.perf_counter() - started

    def pipeline(self) -> Any:
        """Returns the folder's images, decoded once and then cached, in batches."""
        images = self._images(self._batch_size, seed=0)
        self._classes = len(images.class_names)
        return self._scaled(images).cache().prefetch(tf.data.AUTOTUNE)

    def fit(self, pipeline: Any, through: str | None) -> float:
        """Trains a new softmax and all layers after `through`, None: no others; returns seconds."""
        started = time.perf_counter()
        trunk = self._trunk()
        names = [layer.name for layer in trunk.layers]
        for layer in trunk.layers[: names.index(through) + 1] if through else trunk.layers:
            layer.trainable = False
        model = keras.Model(trunk.inputs, self._softmax(self._classes)(trunk.outputs[0]))
        self._compile(model)
        clock = Clock()
        model.fit(pipeline, epochs=self.run_epochs, callbacks=[clock], verbose=0)
        return time.perf_counter() - started + clock.left_out_seconds(self.epochs)

    def _images(self, batch_size: int, **options: Any) -> Any:
        find = keras.utils.image_dataset_from_directory
        return find(self._folder, image_size=(96, 96), batch_size=batch_size, verbose=False, **options)

    def _scaled(self, images: Any) -> Any:
        return images.map(lambda x, y: (x * self._scale, y), num_parallel_calls=tf.data.AUTOTUNE)

    def _trunk(self) -> Any:
        whole = keras.models.load_model(self._network, compile=False)
        return keras.Model(whole.inputs, whole.layers[-1].input)

    def _softmax(self, classes: int) -> Any:
        return keras.layers.Dense(classes, activation="softmax")

    def _compile(self, model: Any) -> None:
        model.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])


def main(network: str, folder: str, text: str) -> None:
    """Runs what the JSON text asks for: `ways` one by one, or `depths` on one pipeline."""
    options = json.loads(text)
    chosen: Sequence[str] = options.pop("ways", ())
    depths: Sequence[str | None] = options.pop("depths", ())
    ways = Ways(network, folder, **options)
    seconds = {way: getattr(ways, way)() for way in chosen}
    if depths:
        started = time.perf_counter()
        pipeline = ways.pipeline()
        seconds["pipeline"] = time.perf_counter() - started
        for depth in depths:
            seconds[str(depth)] = ways.fit(pipeline, depth)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
