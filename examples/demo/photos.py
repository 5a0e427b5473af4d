"""Photographs of 32 by 32 pixels in JPEG files, and a ResNet-8 that somebody else trained on such photographs."""

from __future__ import annotations

import random
import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from task import Task

from frostline_client import Client, layers

CLASSES = ("bird", "cat", "deer", "dog", "horse")
FEW = 10
"""Examples of each class."""

HELD_OUT = 40
"""Examples of each class that accuracy is measured on."""


def prepare(zoo: Client, assets: Path, seeds: Iterable[int]) -> Task:
    """Imports the network and pushes the photographs, folder by folder."""
    zoo.models.import_file(assets / "networks" / "resnet8_cifar10.h5", "resnet8")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(assets / "data" / "cifar10-small.tar") as archive:
            archive.extractall(folder, filter="data")
        photos = Path(folder) / "cifar10-small"
        push(zoo, "animals-held-out", chosen(photos / "test", Path(folder) / "held-out", HELD_OUT, 0))
        for seed in seeds:
            push(zoo, f"animals-few-{seed}", chosen(photos / "train", Path(folder) / f"few-{seed}", FEW, seed))
    return Task(
        title=f"Five animals, {FEW} photographs of each, on a ResNet-8",
        notes=("The ResNet-8 was trained on CIFAR-10, where these animals are five of the ten classes.",),
        base="resnet8",
        examples=[f"animals-few-{seed}" for seed in seeds],
        held_out="animals-held-out",
        frozen="activation_6",
        thawed="activation_4",
        head=[layers.GlobalAveragePooling2D(), layers.Dense(5, activation="softmax")],
        scratch=[
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(64, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, activation="softmax"),
        ],
        preprocessing=None,
        epochs=30,
        batch_size=10,
        scratch_rate=0.001,
        head_rate=0.003,
        thawed_rate=0.0003,
        scratch_suffix="-arrays",
    )


def push(zoo: Client, name: str, folder: Path) -> None:
    """Pushes the files, which the server decodes, and what is in them."""
    zoo.datasets.push_folder(name, folder)
    paths = sorted(folder.glob("*/*.jpg"))
    images = np.stack([np.asarray(Image.open(path)) for path in paths])
    zoo.datasets.push(f"{name}-arrays", images, np.array([path.parent.name for path in paths]))


def chosen(source: Path, target: Path, count: int, seed: int) -> Path:
    """Copies `count` files of each class to `target`, and returns that."""
    draw = random.Random(seed)
    for name in CLASSES:
        (target / name).mkdir(parents=True)
        for path in draw.sample(sorted((source / name).glob("*.jpg")), count):
            shutil.copy(path, target / name)
    return target
