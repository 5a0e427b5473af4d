"""What rounding features costs: float16 and bfloat16 against float32, in accuracy, in bytes and in the logits.

ResNet-8 up to its last block is frozen, and a softmax learns real JPEG files on its features; accuracy is that on a
fifth of the images. The bytes are those of the features on disk.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from report import Report
from subjects import CLASSES, jpeg_folder, network_file, warm

from frostline_client import Client, layers, optimizers
from frostline_server.embedded import serve

DTYPES = ("float32", "float16", "bfloat16")
HEAD = [layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(CLASSES, activation="softmax")]


def trained(zoo: Client, seed: int, epochs: int, dtype: str) -> tuple[float, int]:
    """Returns the validation accuracy of a job over features kept as `dtype`, and the features' bytes."""
    job = zoo.train(
        name="classes",
        base="trunk",
        reuse="add_2",
        head=HEAD,
        data="images",
        validation={"fraction": 0.2, "seed": 0},
        seed=seed,
        optimizer=optimizers.Adam(0.001),
        batch_size=32,
        epochs=epochs,
        cache={"dtype": dtype},
    )
    job.result()
    record = job.record()
    return record.metrics["val_accuracy"], record.stages[0].features.bytes


def main() -> None:
    report = Report("dtypes", __doc__)
    count, epochs = (1000, 10) if report.quick else (4000, 15)
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder) / "data") as address:
        zoo = Client(address)
        zoo.datasets.push_folder("images", jpeg_folder(Path(folder), count))
        zoo.models.import_file(network_file("resnet8_cifar10", Path(folder)), "trunk")
        warm(zoo)
        for seed in range(report.repeats):
            found = {dtype: trained(zoo, seed, epochs, dtype) for dtype in DTYPES}
            for dtype, (accuracy, size) in found.items():
                report.row(seed=seed, dtype=dtype, accuracy=accuracy, bytes=size)
            for dtype in DTYPES[1:]:
                report.ratio(f"accuracy: {dtype} / float32", found[dtype][0] / found["float32"][0], wanted=0.98)
                report.ratio(
                    f"bytes: {dtype} / float32", found[dtype][1] / found["float32"][1], wanted=0.5, at_least=False
                )
    report.end()


if __name__ == "__main__":
    main()
