"""What it costs when a dataset changes: filling 10 % more rows, and one edited image, against the full fill.

MobileNet on JPEG files of 32x32, resized to 96x96: 4,500, then 450 more, then one of them with other pixels. The
seconds are those that the jobs' records call filling, on a real server. The trunk is compiled before, by a job on 10
other images, so that the full fill does not have to pay for it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from report import Report
from subjects import CLASSES, PREPROCESSING, jpeg_folder, network_file

from frostline_client import Client, layers
from frostline_server.embedded import serve

IMAGES, MORE = 4500, 450


def part_of(images: Path, name: str, first: int, count: int) -> Path:
    """Returns a folder beside `images` with hard links to `count` files of each class, from number `first` on."""
    part = images.with_name(name)
    for kind in sorted(images.iterdir()):
        (part / kind.name).mkdir(parents=True)
        for file in sorted(kind.iterdir())[first : first + count]:
            os.link(file, part / kind.name / file.name)
    return part


def edit(folder: Path, number: int) -> None:
    """Gives one file of the folder other pixels."""
    file = sorted(folder.glob("*/*.jpg"))[number]
    pixels = np.asarray(Image.open(file)).copy()
    pixels[:8, :8] = 0
    file.unlink()  # other folders may link to it
    Image.fromarray(pixels).save(file)


def fill_seconds(zoo: Client, data: str, computed: int) -> float:
    """Returns what filling took, of a job that has to compute so many rows."""
    job = zoo.train(
        name="child",
        base="mobilenet",
        head=[layers.Dense(CLASSES, activation="softmax")],
        data=data,
        epochs=1,
    )
    job.result()
    assert job.stages[0].features.computed == computed, job.stages[0].features
    return job.stages[0].fill_seconds


def main() -> None:
    report = Report("incremental", __doc__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = jpeg_folder(folder, IMAGES + MORE + CLASSES)
        first = part_of(images, "first", 0, IMAGES // CLASSES)
        more = part_of(images, "more", IMAGES // CLASSES, MORE // CLASSES)
        others = part_of(images, "others", (IMAGES + MORE) // CLASSES, 1)
        edited = shutil.copytree(first, folder / "edited")
        edit(edited, IMAGES // 2)
        with serve(folder / "zoo") as address, Client(address) as zoo:
            file = network_file("mobilenet_vww96", folder)
            zoo.models.import_file(file, "mobilenet", preprocessing=PREPROCESSING["mobilenet_vww96"])
            zoo.datasets.push_folder("others", others)
            zoo.datasets.push_folder("first", first)
            zoo.datasets.push_folder("grown", first)
            zoo.datasets.push_folder("grown", more, append=True)
            zoo.datasets.push_folder("edited", edited)
            fill_seconds(zoo, "others", CLASSES)
            for repeat in range(report.repeats):
                zoo.features.prune(everything=True)
                full = fill_seconds(zoo, "first", IMAGES)
                grown = fill_seconds(zoo, "grown", MORE)
                one = fill_seconds(zoo, "edited", 1)
                report.row(repeat=repeat, full_seconds=full, more_seconds=grown, edited_seconds=one)
                report.ratio("10 % more rows / full fill", grown / full, wanted=0.12, at_least=False)
                report.ratio("one edited image / full fill", one / full, wanted=0.05, at_least=False)
    report.end()


if __name__ == "__main__":
    main()
