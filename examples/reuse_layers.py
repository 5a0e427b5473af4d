"""Reuses a network: trains one on the digits 0 to 4, then puts a new top on its lower layers for the digits 5 to 9.

    frostline-server                               # in another terminal
    python examples/reuse_layers.py [HOST:PORT]

The digits are those that scikit-learn brings along.
"""

from __future__ import annotations

import sys

from sklearn.datasets import load_digits

from frostline_client import Client, layers, optimizers


def main(address: str | None = None) -> None:
    """Trains both networks on the server at `address`."""
    digits = load_digits()
    x, y = digits.images.astype("float32"), digits.target

    with Client(address) as zoo:
        low = zoo.datasets.push("low-digits", x[y < 5], y[y < 5])
        high = zoo.datasets.push("high-digits", x[y >= 5], y[y >= 5] - 5)

        base = zoo.train(
            name="low-digits",
            head=[
                layers.Flatten(),
                layers.Dense(64, activation="elu", name="h1"),
                layers.Dense(64, activation="elu", name="h2"),
                layers.Dense(5, activation="softmax"),
            ],
            preprocessing={"scale": 1 / 16},
            data=low,
            validation=0.2,
            epochs=20,
            seed=1,
        ).result()
        print(f"{base.name}: {base.parameter_count:,} parameters, {base.size_bytes:,} bytes")

        job = zoo.train(
            name="high-digits",
            base=base,
            reuse="h2",  # kept, and frozen: its outputs are computed once for each example
            head=[layers.Dense(5, activation="softmax")],
            data=high,
            validation=0.2,
            optimizer=optimizers.Adam(0.01),
            epochs=100,
            early_stopping={"patience": 10},
            seed=1,
        )
        model = job.result()
        stage = job.stages[0]
        print(f"{model.name}: accuracy {job.metrics['val_accuracy']:.1%} after {stage.epochs_run} epochs")
        print(f"features: {stage.features.computed} computed, {stage.features.reused} reused")
        print(f"stored: {model.added_bytes:,} bytes more, of {model.size_bytes:,}")
        for row in zoo.models.diff(base, model):
            print(f"  {row.status:8} {(row.b or row.a).name}")

        probabilities = zoo.predict(model, x[y == 7][:5])
        print("sevens are taken for", (probabilities.argmax(axis=1) + 5).tolist())


if __name__ == "__main__":
    main(*sys.argv[1:])
