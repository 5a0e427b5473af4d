"""Benign SavedModels that Keras exports, made when they are asked for: that imports TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.hostile.sample import TAKEN, Sample

GRAPH = "saved_model.pb"


def samples(folder: Path) -> Iterator[Sample]:
    """Yields B09c and B12; `folder` is for files of its own."""
    import keras

    half = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype="float16")])
    yield _exported("B09c", "one of half precision", half, folder / "half")
    keras.utils.set_random_seed(12)
    shape = {"input_shape": (32, 32, 3), "alpha": 0.35, "classes": 2}
    yield _exported("B12", "MobileNetV2", keras.applications.MobileNetV2(weights=None, **shape), folder / "mobile")


def _exported(number: str, what: str, network: Any, folder: Path) -> Sample:
    network.export(folder, verbose=False)
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return Sample(number, what, GRAPH, contents.pop(GRAPH), TAKEN, beside=contents)
