"""Whether contents are fit to be stored: files that decode, values that are numbers."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import numpy as np

from frostline_zoo.examples import images
from frostline_zoo.examples.spec import ExampleSpec

IMAGES_PER_TASK = 16

_THREADS = ThreadPoolExecutor(os.cpu_count(), "frostline-check")  # decoders let go of the interpreter's lock


def undecodable(files: list[bytes], places: list[int]) -> dict[int, str]:
    """Returns which files are no whole images, and why."""
    doubtful = [place for place in places if not images.is_plain_png(files[place])]
    groups = [doubtful[start : start + IMAGES_PER_TASK] for start in range(0, len(doubtful), IMAGES_PER_TASK)]
    reasons = _THREADS.map(lambda group: [images.refusal(files[place]) for place in group], groups)
    return {place: reason for place, reason in zip(doubtful, chain.from_iterable(reasons), strict=True) if reason}


def unfit(spec: ExampleSpec, data: bytes | memoryview) -> dict[int, str]:
    """Returns which arrays hold a value that is no number, and where."""
    rows = np.frombuffer(data, spec.numpy_dtype).reshape(-1, *spec.shape)
    if spec.numpy_dtype.kind == "f":
        bad = ~np.isfinite(rows)
    elif spec.numpy_dtype.kind == "b":
        bad = rows.view(np.uint8) > 1
    else:
        return {}
    found = {}
    for place in np.flatnonzero(bad.reshape(len(rows), -1).any(1)).tolist():
        where = tuple(int(side) for side in np.argwhere(bad[place])[0])
        found[place] = f"has {_kind_of(rows[place][where])} at {','.join(map(str, where))}"
    return found


def _kind_of(value: Any) -> str:
    if value.dtype.kind == "b":
        return "neither true nor false"
    return "NaN" if np.isnan(value) else "infinity"
