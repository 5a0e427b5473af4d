"""Augmentation and views through a real server and its workers: what is refused at once, and with which words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_client import Client, layers
from frostline_client.errors import InvalidError

TOP = [layers.Dense(2, activation="softmax", name="top")]
BASE = [
    layers.RandomFlip(mode="horizontal", name="unseeded"),
    layers.Conv2D(4, 3, activation="relu", name="conv"),
    layers.GlobalAveragePooling2D(name="pool"),
    *TOP,
]
FLIP = layers.RandomFlip(mode="horizontal")


@pytest.fixture(scope="module")
def zoo(server: Any) -> Iterator[Client]:
    """A zoo with forty small images and a network for each of images, images that it flips, and rows."""
    images = np.random.default_rng(1).integers(0, 256, (40, 8, 8, 3), np.uint8).astype(np.float32)
    classes = (images.mean(axis=(1, 2, 3)) > 127).astype(np.int64)
    with Client(server.address) as zoo:
        zoo.datasets.push("squares", images, classes)
        zoo.datasets.push("lines", images[:, 0, :, 0].copy(), classes)
        zoo.train(name="squares-net", head=BASE[1:], data="squares", epochs=1).result()
        zoo.train(name="flipping-net", head=BASE, data="squares", epochs=1).result()
        zoo.train(name="lines-net", head=[layers.Dense(4, name="low"), *TOP], data="lines", epochs=1).result()
        yield zoo


def refusal(zoo: Client, base: str = "squares-net", data: str = "squares", **keys: Any) -> str:
    with pytest.raises(InvalidError) as refused:
        zoo.train(name="refused", base=base, data=data, **{"head": TOP, "epochs": 1, **keys})
    return str(refused.value)


def test_views_of_what_is_never_random_are_refused(zoo: Client) -> None:
    text = refusal(zoo, cache={"views": 4})
    assert "cache.views is 4, but nothing random lies below the cut: add augment, or leave views out" in text


def test_views_of_a_random_layer_above_every_cut_are_refused(zoo: Client) -> None:
    text = refusal(zoo, augment=[FLIP], cache={"views": 2}, freeze="none")
    assert "cache.views is 2, but 'random_flip' lies above the cut" in text
    assert "freeze a layer above it, or leave views out" in text


def test_views_of_a_base_whose_random_layer_has_no_seed_are_refused(zoo: Client) -> None:
    text = refusal(zoo, base="flipping-net", cache={"views": 2})
    assert "layer 'unseeded' draws at random without a seed" in text
    assert "give it a seed" in text


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (layers.Dense(3), "augment[0]: Dense is not a layer that changes images at random: use RandomBrightness, "),
        (layers.MixUp(), "augment[0]: MixUp mixes examples, and a view is of one: use RandomBrightness, "),
        (layers.RandomCrop(height=4, width=4), "augment[0]: RandomCrop crops nothing in inference mode"),
        (layers.RandomFlip(mode="sideways"), "augment[0].RandomFlip.mode is 'sideways': write horizontal, vertical"),
        (layers.RandomFlip(way="up"), "augment[0].RandomFlip.way is unknown: use mode, seed"),
        (
            layers.RandomZoom(height_factor=7),
            "augment[0].RandomZoom.height_factor is 7: give it a value that Keras takes",
        ),
        (layers.RandomFlip(seed=-1), "augment[0].RandomFlip.seed is -1: write an integer from 0 to 2147483647"),
    ],
)
def test_an_augmentation_that_cannot_be_is_refused_with_what_can(zoo: Client, layer: Any, text: str) -> None:
    assert text in refusal(zoo, augment=[layer])


def test_augmentation_of_what_is_no_image_is_refused(zoo: Client) -> None:
    text = refusal(zoo, base="lines-net", data="lines", augment=[FLIP])
    assert "augment[0]: RandomFlip changes images, and the network's input has the shape (8)" in text


def test_colours_of_an_image_without_any_are_refused(zoo: Client) -> None:
    zoo.datasets.push("greys", np.zeros((8, 6, 6, 1), np.float32), np.arange(8) % 2)
    greys = [layers.Flatten(), *TOP]
    text = refusal(zoo, base=None, data="greys", head=greys, augment=[layers.RandomHue(factor=0.2)])  # type: ignore[arg-type]
    assert "augment[0]: RandomHue cannot change images of 1 channels" in text


def test_an_unknown_dtype_of_features_is_refused(zoo: Client) -> None:
    assert 'cache.dtype is "int8": write one of float32, float16, bfloat16' in refusal(zoo, cache={"dtype": "int8"})


def test_what_was_trained_with_augmentation_is_exported_with_it(zoo: Client, tmp_path: Path) -> None:
    job = zoo.train(name="augmented", base="squares-net", head=TOP, augment=[FLIP], data="squares", epochs=1)
    job.result()
    names = [layer.name for layer in zoo.models.layers("augmented")]
    assert names == ["random_flip", "conv", "pool", "top"]
