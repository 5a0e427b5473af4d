"""The hostile corpus: all samples, made anew, and which kind of file each is."""

from __future__ import annotations

import re
from pathlib import Path

from tests.hostile import (
    caffe_samples,
    hdf5_samples,
    hugging_face_nonsense_samples,
    hugging_face_samples,
    keras_samples,
    onnx_samples,
    saved_model_samples,
    tarball_samples,
)
from tests.hostile.sample import Canaries, Sample

# By the last number of each in the catalogue.
_KINDS = {
    22: "`.keras`",
    33: "HDF5",
    45: "SavedModel",
    47: "tarball",
    57: "ONNX",
    60: "pickle",
    66: "safetensors",
    67: "pickle",
    73: "Caffe",
    75: "misnamed",
}


def corpus(canaries: Canaries, folder: Path) -> dict[str, Sample]:
    """Returns all samples by number but for those that Keras exports; `folder` is for files of their own."""
    found = [
        *keras_samples.samples(canaries),
        *hdf5_samples.samples(canaries, folder),
        *saved_model_samples.samples(canaries),
        *tarball_samples.samples(canaries),
        *onnx_samples.samples(canaries),
        *caffe_samples.samples(canaries),
        *hugging_face_samples.samples(canaries),
        *hugging_face_nonsense_samples.samples(),
    ]
    return {sample.number: sample for sample in found}


def kind_of(sample: Sample) -> str:
    """Returns what kind of file a hostile sample is."""
    if sample.number.startswith("H"):
        return "Hugging Face"
    number = int(re.sub(r"\D", "", sample.number))
    return next(kind for last, kind in _KINDS.items() if number <= last)
