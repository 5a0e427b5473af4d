"""How many views are enough: K stored views of each image against a new one in every epoch, in accuracy and seconds.

The lower two thirds of ResNet-8 are frozen, and a head of 550,000 parameters learns real JPEG files on them by heart,
so that augmentation matters: they are flipped and shifted at random before the first layer. Accuracy is that on a fifth
of the images, which are not changed. The seconds of the first seed hold the filling of the views; the other seeds find
them there, but for those of `cache: false`.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from report import Report
from subjects import CLASSES, jpeg_folder, network_file, warm

from frostline_client import Client, layers, optimizers
from frostline_server.embedded import serve

NETWORK = "resnet8_cifar10"
AUGMENT = [layers.RandomFlip("horizontal"), layers.RandomTranslation(0.08, 0.08)]
HEAD = [
    layers.ReLU(),
    layers.Conv2D(64, 3, 2, padding="same", activation="relu"),
    layers.Flatten(),
    layers.Dense(128, activation="relu"),
    layers.Dense(CLASSES, activation="softmax"),
]
FRESH = "a new view in every epoch"
WAYS: dict[str, dict[str, Any]] = {
    "no augmentation": {},
    **{f"views: {count}": {"augment": AUGMENT, "cache": {"views": count}} for count in (1, 2, 4, 8)},
    FRESH: {"augment": AUGMENT, "cache": False},
}


def trained(zoo: Client, seed: int, epochs: int, way: dict[str, Any]) -> tuple[float, float]:
    """Returns the validation accuracy that a job ended with, and how many seconds the job took."""
    job = zoo.train(
        name="classes",
        base="trunk",
        reuse="add_1",
        head=HEAD,
        data="images",
        validation={"fraction": 0.2, "seed": 0},
        seed=seed,
        optimizer=optimizers.Adam(0.001),
        batch_size=32,
        epochs=epochs,
        **way,
    )
    job.result()
    record = job.record()
    assert record.start_time is not None
    assert record.end_time is not None
    return record.metrics["val_accuracy"], (record.end_time - record.start_time).total_seconds()


def main() -> None:
    report = Report("views", __doc__)
    count, epochs = (1000, 16) if report.quick else (4000, 24)
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder) / "data") as address:
        zoo = Client(address)
        zoo.datasets.push_folder("images", jpeg_folder(Path(folder), count))
        zoo.models.import_file(network_file(NETWORK, Path(folder)), "trunk")
        warm(zoo)
        accuracies: dict[str, list[float]] = {way: [] for way in WAYS}
        for seed in range(report.repeats):
            for way, keys in WAYS.items():
                accuracy, seconds = trained(zoo, seed, epochs, keys)
                accuracies[way].append(accuracy)
                report.row(seed=seed, way=way, accuracy=accuracy, seconds=seconds)
            for count, wanted in ((4, 0.95), (8, 0.97)):
                share = accuracies[f"views: {count}"][-1] / accuracies[FRESH][-1]
                report.ratio(f"accuracy: {count} views / {FRESH}", share, wanted=wanted)
        for way, values in accuracies.items():
            report.row(seed="all", way=way, accuracy=statistics.median(values), spread=max(values) - min(values))
    report.end()


if __name__ == "__main__":
    main()
