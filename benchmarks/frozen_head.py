"""How fast a head trains on frozen layers: a job on a real server against Keras, in seconds an epoch.

500 handwritten digits, a trunk of five layers of 100 units, a softmax of 5, batches of 20, Adam. Keras is what a user
would write: `fit` on a model whose lower layers are frozen, and `fit` on the trunk's outputs, computed once by hand.

A job's epoch is taken from the difference between a long job and a short one, from start to end as the server records
them, so that it holds all that an epoch costs: events, the table, the order of the examples.
"""

from __future__ import annotations

import os
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from report import Report

from frostline_client import Client, layers, optimizers
from frostline_server.embedded import serve

ASSETS = Path(os.environ.get("FROSTLINE_ASSETS", Path(__file__).parents[2] / "shared" / "assets"))
TRUNK = [f"h{number}" for number in range(1, 6)]
SHORT, LONG = 50, 550
KERAS_EPOCHS = 5


def digits() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Returns 500 digits 5 to 9 of MNIST, 100 of each, labelled 0 to 4; or as much noise where MNIST is not at hand."""
    file = ASSETS / "data" / "mnist.npz"
    if not file.exists():
        random = np.random.default_rng(0)
        return random.random((500, 784), np.float32), np.arange(500) % 5
    with np.load(file) as mnist:
        x, y = mnist["x_train"], mnist["y_train"]
    chosen = np.concatenate([np.flatnonzero(y == digit)[:100] for digit in range(5, 10)])
    return (x[chosen].reshape(-1, 784) / 255).astype(np.float32), y[chosen].astype(np.int64) - 5


def keras_seconds(x: Any, y: Any) -> dict[str, Any]:
    """Returns for each of Keras's two ways a function that trains some epochs, ready compiled."""
    import keras

    keras.utils.set_random_seed(0)
    trunk = keras.Sequential(
        [keras.Input((784,))] + [keras.layers.Dense(100, "elu", kernel_initializer="he_normal") for _ in TRUNK]
    )
    trunk.trainable = False
    frozen = keras.Sequential([trunk, keras.layers.Dense(5, "softmax")])
    head = keras.Sequential([keras.Input((100,)), keras.layers.Dense(5, "softmax")])
    features = trunk.predict(x, verbose=0)
    ways = {"frozen layers": (frozen, x), "hand-cached features": (head, features)}
    for model, rows in ways.values():
        model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(rows, y, batch_size=20, epochs=2, verbose=0)
    return {
        name: lambda model=model, rows=rows: model.fit(rows, y, batch_size=20, epochs=KERAS_EPOCHS, verbose=0)
        for name, (model, rows) in ways.items()
    }


def job_seconds(zoo: Client, epochs: int) -> timedelta:
    """Returns how long a job of so many epochs took, as the server records it."""
    job = zoo.train(
        name="five-to-nine",
        base="zero-to-four",
        reuse="h5",
        head=[layers.Dense(5, activation="softmax")],
        data="digits",
        optimizer=optimizers.Adam(0.01),
        batch_size=20,
        epochs=epochs,
    )
    job.result()
    return job.record().end_time - job.record().start_time


def main() -> None:
    report = Report("frozen_head", __doc__)
    x, y = digits()
    with tempfile.TemporaryDirectory() as folder, serve(folder) as address:
        zoo = Client(address)
        zoo.datasets.push("digits", x, y)
        hidden = [layers.Dense(100, activation="elu", kernel_initializer="he_normal", name=name) for name in TRUNK]
        zoo.train(
            name="zero-to-four", head=[*hidden, layers.Dense(5, activation="softmax")], data="digits", epochs=1
        ).result()
        ways = keras_seconds(x, y)
        job_seconds(zoo, 2)
        for repeat in range(report.repeats):
            ours = (job_seconds(zoo, LONG) - job_seconds(zoo, SHORT)).total_seconds() / (LONG - SHORT)
            report.row(repeat=repeat, what="frostline", milliseconds_per_epoch=ours * 1e3)
            for name, fit in ways.items():
                started = time.perf_counter()
                fit()
                theirs = (time.perf_counter() - started) / KERAS_EPOCHS
                report.row(repeat=repeat, what=f"keras, {name}", milliseconds_per_epoch=theirs * 1e3)
                report.ratio(f"keras, {name} / frostline", theirs / ours, wanted=50)
    report.end()


if __name__ == "__main__":
    main()
