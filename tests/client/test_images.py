"""Images as the input of networks that were made for rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from frostline_client import Client, layers
from frostline_client.errors import InvalidError

HEAD = [layers.Dense(2, "softmax")]


@pytest.fixture(scope="module")
def bases(address: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same gray pictures as rows and as a folder, and models for inputs (8, 6) and (48,)."""
    pictures = np.random.default_rng(4).integers(0, 256, (24, 8, 6), np.uint8)
    classes, folder = np.arange(24) // 12, tmp_path_factory.mktemp("pictures")
    for place, (picture, label) in enumerate(zip(pictures, classes, strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / str(label) / f"{place:02}.png")
    with Client(address) as zoo:
        zoo.datasets.push("picture-rows", pictures, classes)
        zoo.datasets.push("flat-rows", pictures.reshape(24, 48), classes)
        zoo.datasets.push_folder("picture-files", folder)
        flat = [layers.Dense(4, "relu", name="h1"), *HEAD]
        scaled: Any = {"epochs": 1, "preprocessing": {"scale": 1 / 255}}
        zoo.train(name="for-pictures", data="picture-rows", head=[layers.Flatten(), *flat], **scaled).result()
        zoo.train(name="for-rows", data="flat-rows", head=flat, **scaled).result()


def test_an_input_without_channels_takes_images_as_the_gray_rows_that_they_hold(zoo: Client, bases: None) -> None:
    jobs = [
        zoo.train(name=data, base="for-pictures", data=data, head=HEAD, epochs=2, seed=5)
        for data in ("picture-rows", "picture-files")
    ]
    of_rows, of_files = (job.result() and job.metrics for job in jobs)
    assert of_rows == of_files
    assert {row.status for row in zoo.models.diff("picture-rows", "picture-files")} == {"shared"}


def test_images_do_not_fit_an_input_that_is_no_picture(zoo: Client, bases: None) -> None:
    with pytest.raises(InvalidError, match=r"examples are images, the network's input is \(48,\): images fit \(height"):
        zoo.train(name="no-picture", base="for-rows", data="picture-files", head=HEAD, epochs=1)
