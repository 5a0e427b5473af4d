"""Writes the files that the README's commands take: a network, examples to push, rows to predict, and the recipe.

    python examples/first_files.py                 # into the current folder

    mnist-0-4.keras   a network that tells the digits 0 to 4 apart
    digits-5-9.npz    images x and labels y of the digits 5 to 9, to push
    x.npy             some of these images, to predict
    recipe.yaml       puts a new top on the network's lower layers, for the digits 5 to 9

The digits are those that scikit-learn brings along, 8 x 8 numbers each, so that nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits

RECIPE = """\
name: mnist-5-9
base: mnist-0-4
reuse: {through: h5}
head:
  - Dense: {units: 5, activation: softmax}
data: {train: digits-5-9, validation: {fraction: 0.2, seed: 7}}
stages:
  - freeze: {through: h5}
    optimizer: {Adam: {learning_rate: 0.01}}
    epochs: 1000
    early_stopping: {patience: 20}
  - freeze: {through: h2}              # the upper layers thaw
    optimizer: {Adam: {learning_rate: 0.001}}
    epochs: 20
"""


def main() -> None:
    """Trains the network, and writes the files."""
    digits = load_digits()
    x, y = (digits.images / 16).astype("float32"), digits.target
    low, high = y < 5, y >= 5

    keras.utils.set_random_seed(1)
    hidden = [keras.layers.Dense(100, "elu", kernel_initializer="he_normal", name=f"h{n}") for n in range(1, 6)]
    top = keras.layers.Dense(5, "softmax")
    network = keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), *hidden, top])
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(x[low], y[low], epochs=20, verbose=0)

    network.save("mnist-0-4.keras")
    np.savez("digits-5-9.npz", x=x[high], y=y[high] - 5)
    np.save("x.npy", x[high][:10])
    Path("recipe.yaml").write_text(RECIPE)
    print("wrote mnist-0-4.keras, digits-5-9.npz, x.npy and recipe.yaml")


if __name__ == "__main__":
    main()
