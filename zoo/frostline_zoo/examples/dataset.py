"""One dataset version, ready to be read by index.

Whatever is read is hashed again and held against the example's digest, so that a changed byte on disk ends in an error
and never in a feature or a gradient.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_zoo.alignment import aligned
from frostline_zoo.blobs.store import BlobStore
from frostline_zoo.errors import CorruptError, InvalidError, NotFoundError
from frostline_zoo.examples import images
from frostline_zoo.examples.image_decoder import ImageDecoder
from frostline_zoo.examples.index import Places
from frostline_zoo.examples.shards import Rows
from frostline_zoo.examples.spec import Digests, ExampleSpec, contents_digests, rows_digests
from frostline_zoo.preprocessing import Preprocessing

Array = npt.NDArray[Any]
Shape = tuple[int | None, ...]

IMAGES_PER_TASK = 16
MAX_CHANNELS = 4


@dataclass(frozen=True)
class Examples:
    """The examples of one dataset version, in its order. Threads may share them.

    Attributes:
        spec: what they are.
        digests: their digests, (n, 32).
        labels: (n,) int64 classes, (n,) or (n, k) floats, or None.
        class_names: the names of the classes, or empty.
        places: where their contents are.
        blobs: the store that the shards are in.
        decoder: what decodes images.
    """

    spec: ExampleSpec
    digests: Digests
    labels: Array | None
    class_names: tuple[str, ...]
    places: Places
    blobs: BlobStore
    decoder: ImageDecoder

    def __len__(self) -> int:
        return len(self.digests)

    def contents(self, indices: npt.ArrayLike) -> Array | list[bytes]:
        """Returns contents as they were pushed: arrays (k, *shape), or image files.

        Raises:
            CorruptError: one of them has changed on disk.
        """
        chosen = np.asarray(indices, np.int64)
        return self._files(chosen) if self.spec.is_image else self._arrays(chosen)

    def inputs(self, indices: npt.ArrayLike, shape: Shape, dtype: str, preprocessing: Preprocessing) -> Array:
        """Returns examples as a network's input, (k, *shape): decoded and resized, then `value * scale + offset`.

        Arithmetic is done in float32. Without scale and offset, arrays are only cast.

        Args:
            shape: the shape of one input; None where a side is free.
            dtype: numpy's name of the input's dtype.

        Raises:
            InvalidError: they do not fit, as `check_fits` says.
            CorruptError: one of them has changed on disk.
        """
        chosen = np.asarray(indices, np.int64)
        if not self.spec.is_image:
            return as_inputs(self._arrays(chosen), shape, dtype, preprocessing)
        check_fits(self.spec, shape)
        return self._decoded(chosen, shape, dtype, preprocessing)

    def _arrays(self, chosen: Rows) -> Array:
        rows = np.empty((len(chosen), *self.spec.shape), self.spec.numpy_dtype)
        for shard, group in self.places.by_shard(chosen):
            rows[group] = shard.gather(self.places.row[chosen[group]])
        self._verify(chosen, rows_digests(self.spec, rows.data))
        return rows

    def _files(self, chosen: Rows) -> list[bytes]:
        files = [b""] * len(chosen)
        for shard, group in self.places.by_shard(chosen):
            for position, content in zip(group.tolist(), shard.files(self.places.row[chosen[group]]), strict=True):
                files[position] = content
        self._verify(chosen, contents_digests(self.spec, files))
        return files

    def _verify(self, chosen: Rows, found: Digests) -> None:
        wrong = np.flatnonzero((found != self.digests[chosen]).any(1))
        if len(wrong):
            index = int(chosen[wrong[0]])
            with suppress(CorruptError, NotFoundError):  # the store sets the shard aside, so that a push can mend it
                for _ in self.blobs.read(self.places.shards[self.places.shard[index]].digest):
                    pass
            message = f"example {index} has changed on the server's disk: push it again"
            raise CorruptError(message, reason="EXAMPLE_CORRUPT")

    def _decoded(self, chosen: Rows, shape: Shape, dtype: str, preprocessing: Preprocessing) -> Array:
        height, width, channels = (side or 1 for side in (*shape, 1)[:3])
        inputs = aligned((len(chosen), height, width, channels), dtype)

        def decode(start: int) -> None:
            files = self._files(chosen[start : start + IMAGES_PER_TASK])
            pixels = self.decoder.decode(files, height, width, channels, preprocessing.interpolation)
            # Here, while the pixels are in the processor's cache: as floats they are four times larger.
            inputs[start : start + len(files)] = _scaled(pixels, dtype, preprocessing)

        for _ in self._threads.map(decode, range(0, len(chosen), IMAGES_PER_TASK)):
            pass
        return inputs if len(shape) == 3 else inputs[..., 0]

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(os.cpu_count(), "frostline-decode")


def as_inputs(rows: Array, shape: Shape, dtype: str, preprocessing: Preprocessing) -> Array:
    """Returns arrays (k, *own) as a network's input, (k, *shape), as `Examples.inputs` does.

    Raises:
        InvalidError: they do not fit, as `check_fits` says.
    """
    check_fits(ExampleSpec(rows.dtype.name, rows.shape[1:]), shape)
    return _scaled(_fitted(rows, shape, preprocessing.interpolation), dtype, preprocessing)


def check_fits(spec: ExampleSpec, shape: Shape) -> None:
    """Checks that examples can become inputs of a shape, None where a side is free.

    Images become (height, width, 3) RGB, (height, width, 1) gray or (height, width) gray. Arrays keep their shape, but
    for a last side of 1, which may come or go; where both look like (height, width, channels), they are resized.

    Raises:
        InvalidError: they cannot; the message says what would help.
    """
    if spec.is_image:
        if None in shape or len(shape) not in (2, 3) or (*shape, 1)[2] not in (1, 3):
            mend = "images fit (height, width, 1) or (height, width, 3), all sides given"
            raise _misfit("examples are images", shape, mend)
    elif _fit(spec.shape, shape) is None:
        is_flat = len(shape) == 1 and shape[0] in (None, math.prod(spec.shape))
        mend = "give them flattened" if is_flat else "give arrays of that shape"
        raise _misfit(f"examples are {spec.shape}", shape, mend)


def _misfit(examples: str, shape: Shape, mend: str) -> InvalidError:
    return InvalidError(f"{examples}, the network's input is {shape}: {mend}", reason="SHAPE_MISMATCH")


def _fit(own: tuple[int, ...], shape: Shape) -> tuple[int, ...] | None:
    """Returns the shape that arrays of shape `own` take, before any resizing, to become `shape`; None: they cannot."""
    spellings = [own, (*own, 1)] + ([own[:-1]] if own[-1] == 1 else [])
    for spelling in spellings:
        if _matches(spelling, shape):
            return spelling
    for spelling in spellings:
        if len(spelling) == 3 and spelling[2] <= MAX_CHANNELS and _matches(spelling, (None, None, *shape[2:])):
            return spelling
    return None


def _matches(sides: tuple[int, ...], shape: Shape) -> bool:
    return len(sides) == len(shape) and all(want in (None, side) for side, want in zip(sides, shape, strict=True))


def _fitted(rows: Array, shape: Shape, interpolation: str) -> Array:
    spelling = _fit(rows.shape[1:], shape)
    assert spelling is not None  # check_fits has passed
    rows = rows.reshape(len(rows), *spelling)
    if _matches(spelling, shape):
        return rows
    return images.resize(rows, shape[0] or spelling[0], shape[1] or spelling[1], interpolation)


@np.errstate(over="ignore")  # whoever asks for inputs checks what numbers they got
def _scaled(values: Array, dtype: str, preprocessing: Preprocessing) -> Array:
    scale, offset = preprocessing.scale, preprocessing.offset
    if scale == 1.0 and offset == 0.0:
        return values.astype(dtype, copy=False)
    for factors in (scale, offset):
        if isinstance(factors, tuple) and len(factors) not in (1, values.shape[-1]):
            message = f"the model's preprocessing has {len(factors)} channels, its input {values.shape[-1]}"
            raise InvalidError(f"{message}: import it with one number a channel", reason="BAD_PREPROCESSING")
    # One pass over the numbers where one is enough.
    scaled = np.multiply(values, np.asarray(scale, np.float32), dtype=np.float32, casting="unsafe")
    if offset != 0.0:
        scaled += np.asarray(offset, np.float32)
    return scaled.astype(dtype, copy=False)
