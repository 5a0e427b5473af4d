"""Several cuts of one network: filled in one pass, and trained at 6 freeze depths on shared features.

MobileNet on JPEG files of 32x32, resized to 96x96.

one pass    rows at 4 cuts of the topmost blocks, as gradual thawing has them, filled and stored in one pass over the
            images, against filling and storing the rows of the deepest of them alone
depths      6 jobs on a real server, each with one layer with weights more above its cut than the one before, against
            6 runs of Keras `fit` with the same layers frozen, in one process, on one decoded and cached `tf.data`
            pipeline. Counted is from submitting the first job to the result of the last, and from listing the files to
            the end of the last `fit`; neither the network nor the dataset is known to the server's worker.

The quick version runs 2 epochs of each Keras `fit` and counts each of the others as the faster of the two.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from report import Report
from subjects import (
    CLASSES,
    PREPROCESSING,
    jpeg_folder,
    keras_seconds,
    network_file,
    open_zoo_with,
    recipe_of,
    unheard,
    warm,
)

from frostline_client import Client, layers, optimizers
from frostline_server.embedded import serve
from frostline_server.features.store import FeatureStore
from frostline_server.training.frozen import Frozen, Level
from frostline_server.training.prepare import prepare
from frostline_server.training.programs import Programs
from frostline_zoo.graph import cut_through
from frostline_zoo.names import parse_model_reference

IMAGES, EPOCHS, BATCH_SIZE = 5000, 20, 32
DEPTHS = 6


def one_pass(report: Report, folder: Path) -> None:
    """Measures filling 4 cuts in one pass against filling the deepest of them alone."""
    zoo = open_zoo_with(folder / "zoo")
    prepared = prepare(recipe_of(base="mobilenet", data="images", classes=CLASSES), zoo)
    frozen = Frozen(prepared.network, Programs())
    deepest = prepared.cuts[0]
    ends = [layer.name for layer in frozen.manifest.layers if layer.class_name in ("ReLU", "Activation")]
    blocks = [name for name in ends if name in deepest.frozen][-5::2]
    cuts = [cut_through(frozen.manifest, [name]) for name in blocks] + [deepest]
    levels = [Level(cut.frontier, "float32", True) for cut in cuts]

    def seconds(chosen: list[Level], place: str) -> float:
        started = time.perf_counter()
        store = FeatureStore(folder / place)
        features = frozen.features(prepared.train, chosen, store, unheard, with_views=False)
        features.fill([0], into_memory=False)
        assert features.computed == IMAGES
        return time.perf_counter() - started

    seconds(levels, "compiling-all")
    seconds(levels[-1:], "compiling-one")
    for repeat in range(report.repeats):
        alone, together = seconds(levels[-1:], f"one-{repeat}"), seconds(levels, f"all-{repeat}")
        report.row(repeat=repeat, what="the deepest cut", seconds=alone)
        report.row(repeat=repeat, what="4 cuts in one pass", seconds=together)
        report.ratio("4 cuts in one pass / the deepest", together / alone, wanted=1.15, at_least=False)


def depths(report: Report, folder: Path, images: Path, through: list[str]) -> None:
    """Measures 6 jobs against 6 runs of Keras."""
    for repeat in range(report.repeats if not report.quick else 1):
        with serve(folder / "zoo") as address, Client(address) as zoo:
            warm(zoo)
            zoo.features.prune(everything=True)
            started = time.perf_counter()
            jobs = [
                zoo.train(
                    name="child",
                    base="mobilenet",
                    head=[layers.Dense(CLASSES, activation="softmax")],
                    data="images",
                    freeze=layer,
                    optimizer=optimizers.Adam(0.001),
                    batch_size=BATCH_SIZE,
                    epochs=EPOCHS,
                )
                for layer in through
            ]
            for job in jobs:
                job.result()
            ours = time.perf_counter() - started
            for layer, job in zip(through, jobs, strict=True):
                (stage,) = job.stages
                assert stage.plan is not None
                report.row(
                    repeat=repeat,
                    what=f"job, frozen through {layer}",
                    fill=stage.fill_seconds,
                    train=stage.train_seconds,
                    kept=f"{stage.plan.kept} at {', '.join(stage.plan.kept_at)}",
                )
        theirs = keras_seconds(
            folder / "mobilenet.keras",
            images,
            depths=through,
            scale=PREPROCESSING["mobilenet_vww96"]["scale"],
            batch_size=BATCH_SIZE,
            epochs=EPOCHS,
            run_epochs=2 if report.quick else EPOCHS,
        )
        for what, seconds in theirs.items():
            report.row(repeat=repeat, what=f"keras, {what}", seconds=seconds)
        report.row(repeat=repeat, what="6 jobs", seconds=ours)
        report.row(repeat=repeat, what="6 runs of keras", seconds=sum(theirs.values()))
        report.ratio("6 runs of keras / 6 jobs", sum(theirs.values()) / ours, wanted=8)


def topmost(folder: Path) -> list[str]:
    """Returns the layers through which the 6 depths freeze: each frees one layer with weights more."""
    manifest = open_zoo_with(folder / "zoo").models.manifest_of(parse_model_reference("mobilenet"))[1]
    names = [layer.name for layer in manifest.layers]
    weighted = [place for place, layer in enumerate(manifest.layers) if layer.parameters]
    return [names[place - 1] for place in weighted[-1 : -DEPTHS - 1 : -1]]


def main() -> None:
    report = Report("cuts", __doc__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = jpeg_folder(folder, IMAGES)
        with serve(folder / "zoo") as address, Client(address) as zoo:
            file = network_file("mobilenet_vww96", folder)
            zoo.models.import_file(file, "mobilenet", preprocessing=PREPROCESSING["mobilenet_vww96"])
            zoo.models.export("mobilenet", folder / "mobilenet.keras")
            zoo.datasets.push_folder("images", images)
        one_pass(report, folder)
        depths(report, folder, images, topmost(folder))
    report.end()


if __name__ == "__main__":
    main()
