"""What benchmarks are run on: real networks and real images where they are at hand, else others of the same size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from frostline_client import Client, layers

ASSETS = Path(os.environ.get("FROSTLINE_ASSETS", Path(__file__).parents[2] / "shared" / "assets"))
CLASSES = 10
PREPROCESSING: dict[str, dict[str, Any]] = {"mobilenet_vww96": {"scale": 1 / 255}}


def jpeg_folder(folder: Path, count: int) -> Path:
    """Returns a new folder of `count` JPEG files of 32x32 pixels in `folder`, one folder for each of 10 classes.

    They are the training images of the CIFAR-10 excerpt, or noise where that is not at hand.
    """
    images, each = folder / f"images-{count}", count // CLASSES
    archive = ASSETS / "data" / "cifar10-small.tar"
    if archive.exists():
        unpacked = folder / "unpacked"
        with tarfile.open(archive) as tar:
            tar.extractall(unpacked, filter="data")
        for kind in sorted((unpacked / "cifar10-small" / "train").iterdir()):
            (images / kind.name).mkdir(parents=True)
            for file in sorted(kind.iterdir())[:each]:
                file.rename(images / kind.name / file.name)
        return images
    random = np.random.default_rng(0)
    for kind in range(CLASSES):
        (images / str(kind)).mkdir(parents=True)
        for number in range(each):
            pixels = random.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(images / str(kind) / f"{number:04}.jpg")
    return images


def network_file(name: str, folder: Path) -> Path:
    """Returns the file of a network, "mobilenet_vww96" or "resnet8_cifar10": the real one, or one of random weights."""
    path = ASSETS / "networks" / f"{name}.h5"
    if path.exists():
        return path
    stand_in = folder / f"{name}.keras"
    _ARCHITECTURES[name]().save(stand_in)
    return stand_in


def _mobilenet() -> Any:
    """MobileNetV1 x0.25 on 96x96."""
    import keras

    return keras.applications.MobileNet((96, 96, 3), alpha=0.25, weights=None, classes=2)


def _resnet8() -> Any:
    """ResNet-8 for CIFAR-10."""
    import keras

    def block(x: Any, filters: int, strides: int) -> Any:
        y = keras.layers.Conv2D(filters, 3, strides, "same")(x)
        y = keras.layers.ReLU()(keras.layers.BatchNormalization()(y))
        y = keras.layers.BatchNormalization()(keras.layers.Conv2D(filters, 3, padding="same")(y))
        if strides > 1:
            x = keras.layers.Conv2D(filters, 1, strides, "same")(x)
        return keras.layers.ReLU()(keras.layers.Add()([x, y]))

    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(16, 3, padding="same")(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        x = block(x, filters, strides)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, "softmax")(x))


_ARCHITECTURES: dict[str, Callable[[], Any]] = {"mobilenet_vww96": _mobilenet, "resnet8_cifar10": _resnet8}


def keras_seconds(network: Path, images: Path, **options: Any) -> dict[str, float]:
    """Returns how long the ways in keras_ways.py take, in a new process that has Keras imported when the clock starts.

    `network` is a .keras file; the options are those of the JSON text there.
    """
    command = [sys.executable, str(Path(__file__).with_name("keras_ways.py")), str(network), str(images)]
    done = subprocess.run(
        [*command, json.dumps(options)], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def warm(zoo: Client) -> None:
    """Trains something that has nothing to do with the rest, so that the server's workers are up."""
    zoo.datasets.push("warming", np.zeros((8, 4), np.float32), np.arange(8) % 2)
    zoo.train(name="warming", head=[layers.Dense(2, activation="softmax")], data="warming", epochs=1).result()


def status_bytes(process: int, key: str) -> int:
    """Returns what the system says of a process's memory under a key such as VmRSS.

    Raises:
        OSError: there is no such process.
        LookupError: it has no such memory, as one that has ended.
    """
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(key)


def children_of(process: int) -> list[int]:
    """Returns the processes that a process has started, and that run."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for children in tasks for child in children.read_text().split()]


def open_zoo_with(folder: Path, feature_bytes: int | None = None, **models: Path) -> Any:
    """Returns a zoo in `folder` as a worker sees it, without a server, with models imported from the files.

    Inputs are scaled to 0..1 for networks that were trained on that.
    """
    from frostline_server.features.store import FeatureStore
    from frostline_server.training.zoo import ZooAccess
    from frostline_zoo.blobs.local import LocalBlobStore
    from frostline_zoo.catalogue.database import connect, migrate
    from frostline_zoo.catalogue.datasets import Datasets
    from frostline_zoo.catalogue.models import Models
    from frostline_zoo.networks.importer import import_network
    from frostline_zoo.preprocessing import Preprocessing

    folder.mkdir(parents=True, exist_ok=True)
    engine = connect(folder / "frostline.db")
    migrate(engine)
    blobs = LocalBlobStore(folder)
    features = FeatureStore(folder / "features", feature_bytes)
    zoo = ZooAccess(engine, blobs, Models(engine, blobs), Datasets(engine, blobs), features)
    for name, path in models.items():
        imported = import_network(path, preprocessing=Preprocessing(**PREPROCESSING.get(path.stem, {})))
        for content in imported.blobs.values():
            blobs.put(content)
        with engine.begin() as connection:
            zoo.models.add_version(connection, name, imported.manifest)
    return zoo


class Unheard:
    """A listener to filling that takes no notice."""

    def filled(self, rows: int, computed: int) -> None:
        """Takes no notice."""

    def note(self, text: str) -> None:
        """Takes no notice."""


unheard = Unheard()


def recipe_of(*, base: str, data: str, classes: int, epochs: int = 1, **more: Any) -> Any:
    """Returns a recipe that trains a softmax on a model in one stage."""
    from frostline_server.training.recipe import Recipe

    head = [{"Dense": {"units": classes, "activation": "softmax"}}]
    stages = [{"epochs": epochs, "batch_size": 32}]
    recipe = {"name": "child", "base": base, "data": {"train": data}, "head": head, "stages": stages}
    return Recipe.parse(json.dumps(recipe | more))
