"""A head trained on a frozen MobileNet: jobs on a real server against what a user would write with Keras.

5,000 JPEG files of 32x32, resized to 96x96, a softmax of 10 on top, 20 epochs of batches of 32. What is counted:

first job       from submitting the recipe to the result; the dataset is pushed and the server's worker warm, but it has
                seen neither the network nor the dataset
second job      the same once more with another learning rate
other head      the same with another head, whose program is compiled for it
keras, frozen   loading the network, decoding the folder into a cached `tf.data` pipeline, compiling, 20 epochs of
                `fit` with all but the head frozen
keras, arrays   loading the network, decoding the folder, `predict` of the trunk, compiling, 20 epochs of `fit` of the
                head on the arrays

Keras is imported before its clocks start. The quick version runs 2 epochs of `keras, frozen` and counts each of the
others as the faster of the two. Each repeat has a server and a Keras process of its own.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from report import Report
from subjects import CLASSES, PREPROCESSING, jpeg_folder, keras_seconds, network_file, warm

from frostline_client import Client, layers, optimizers
from frostline_server.embedded import serve

IMAGES, EPOCHS, BATCH_SIZE = 5000, 20, 32


def job_seconds(zoo: Client, head: list[Any], learning_rate: float = 0.001) -> tuple[float, Any]:
    """Returns how long a job takes from its submission to its result, and what its stage came to."""
    started = time.perf_counter()
    job = zoo.train(
        name="child",
        base="mobilenet",
        head=head,
        data="images",
        optimizer=optimizers.Adam(learning_rate),
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
    )
    job.result()
    return time.perf_counter() - started, job.stages[0]


def measure(report: Report, repeat: int, data: Path, reference: tuple[Path, Path]) -> None:
    softmax = layers.Dense(CLASSES, activation="softmax")
    with serve(data) as address, Client(address) as zoo:
        warm(zoo)
        zoo.features.prune(everything=True)
        first, stage = job_seconds(zoo, [softmax])
        second, again = job_seconds(zoo, [softmax], 0.002)
        other, over = job_seconds(zoo, [layers.Dense(32, activation="relu"), softmax])
    assert [each.features.computed for each in (stage, again, over)] == [IMAGES, 0, 0]
    theirs = keras_seconds(
        *reference,
        ways=["frozen", "arrays"],
        scale=PREPROCESSING["mobilenet_vww96"]["scale"],
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
        run_epochs=2 if report.quick else EPOCHS,
    )
    for what, seconds, came in (
        ("first job", first, stage),
        ("second job", second, again),
        ("other head", other, over),
    ):
        report.row(repeat=repeat, what=what, seconds=seconds, fill=came.fill_seconds, train=came.train_seconds)
    for way, seconds in theirs.items():
        report.row(repeat=repeat, what=f"keras, {way}", seconds=seconds)
    report.ratio("keras, frozen / first job", theirs["frozen"] / first, wanted=8)
    report.ratio("keras, arrays / first job", theirs["arrays"] / first, wanted=2)
    report.ratio("keras, arrays / second job", theirs["arrays"] / second, wanted=20)
    report.ratio("keras, arrays / other head", theirs["arrays"] / other, wanted=None)


def main() -> None:
    report = Report("frozen_epochs", __doc__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = jpeg_folder(folder, IMAGES)
        file, keras_file = network_file("mobilenet_vww96", folder), folder / "mobilenet.keras"
        with serve(folder / "zoo") as address, Client(address) as zoo:
            zoo.models.import_file(file, "mobilenet", preprocessing=PREPROCESSING["mobilenet_vww96"])
            zoo.models.export("mobilenet", keras_file)
            zoo.datasets.push_folder("images", images)
        for repeat in range(report.repeats):
            measure(report, repeat, folder / "zoo", (keras_file, images))
    report.end()


if __name__ == "__main__":
    main()
