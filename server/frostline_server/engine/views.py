"""Views: seeded random changes of images, each image's own, whatever batch it is computed in.

Keras's random image layers draw for a whole batch from one state. Here every row draws from a generator of its own,
seeded by the layer and by the row's example and view, so a row is the same in every batch and at every place in it.
The generator is SplitMix64 (Steele, Lea & Flood 2014); docs/formats.md says what it is seeded with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras.src.models.functional import operation_fn  # how a functional model calls its layers; it has no public name
from keras.src.utils.backend_utils import DynamicBackend  # what Keras's image layers draw from

from frostline_server.engine.forward import compiled
from frostline_zoo.identity import RANDOM_IMAGE_LAYERS

Array = npt.NDArray[Any]

_GAMMA = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1


def view_seeds(digests: npt.NDArray[np.uint8], view: int) -> npt.NDArray[np.int32]:
    """Returns each row's seed: (n, 32) digests of examples -> (n, 2), the low half and the high half of 64 bits."""
    words = np.ascontiguousarray(digests[:, :8]).view("<u8")[:, 0]
    with np.errstate(over="ignore"):
        states = words + np.uint64(view * _GAMMA & _WORD)
    return np.array(tf.bitcast(_mixed(tf.constant(states)), tf.int32))


def compiled_views(model: keras.Model) -> Callable[[Sequence[Array], Array], list[Array]]:
    """Returns the network with its random image layers drawing and everything else in inference mode.

    The function takes one array an input, and the rows' seeds (batch, 2) as `view_seeds` gives them, and returns one
    array an output. Every call must have the same batch size.
    """
    drawing = {
        id(layer): type(layer).from_config(layer.get_config())
        for layer in model.layers
        if type(layer).__name__ in RANDOM_IMAGE_LAYERS
    }

    def compute(arrays: list[Any]) -> list[Any]:
        *inputs, seeds = arrays
        rows = tf.bitcast(seeds, tf.uint64)

        def called(operation: Any) -> Any:
            if id(operation) not in drawing:
                return operation_fn(operation, training=False)
            return lambda images, **_: _drawn(drawing[id(operation)], images, rows)

        return list(keras.tree.flatten(model._run_through_graph(inputs, operation_fn=called)))

    program = compiled(compute)
    return lambda inputs, seeds: program([*inputs, seeds])


def _drawn(layer: Any, images: Any, rows: Any) -> Any:
    """Returns what a random image layer makes of images (n, height, width, channels), given the rows' seeds (n,)."""
    own = hashlib.sha256(f"{type(layer).__name__} {layer.seed}".encode()).digest()
    random = _RowRandom(_mixed(tf.bitwise.bitwise_xor(rows, tf.constant(int.from_bytes(own[:8], "little"), tf.uint64))))
    for each in (layer, *layer._layers):  # RandomColorJitter is made of others
        each.backend = _RowBackend(random)
    return layer(images, training=True)


class _RowBackend(DynamicBackend):  # type: ignore[misc]
    """Keras's backend, but for where random numbers come from."""

    def __init__(self, random: _RowRandom) -> None:
        super().__init__("tensorflow")
        self.random = random


class _RowRandom:
    """Draws for a batch, as `keras.random` does, each row from its own key; the argument `seed` is not asked.

    Row r's number at place j of the c-th draw is the generator's output number `c * 2**32 + j + 1` from r's key.
    """

    def __init__(self, keys: Any) -> None:
        self._keys = keys
        self._draws = 0

    def uniform(
        self, shape: Sequence[int], minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: Any = None
    ) -> Any:
        return tf.cast(minval + self._fractions(shape) * (maxval - minval), dtype or keras.config.floatx())

    def normal(
        self, shape: Sequence[int], mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
    ) -> Any:
        # Source: Box & Muller 1958, "A note on the generation of random normal deviates".
        lengths = tf.sqrt(-2.0 * tf.math.log(1.0 - self._fractions(shape)))
        turned = lengths * tf.cos(2.0 * np.pi * self._fractions(shape))
        return tf.cast(mean + stddev * turned, dtype or keras.config.floatx())

    def randint(self, shape: Sequence[int], minval: Any, maxval: Any, dtype: Any = "int32", seed: Any = None) -> Any:
        return tf.cast(tf.floor(minval + self._fractions(shape) * (maxval - minval)), dtype)

    def _fractions(self, shape: Sequence[int]) -> Any:
        """Returns float32 numbers of 24 bits in [0, 1)."""
        if shape[0] != self._keys.shape[0]:
            raise ValueError(f"a draw of shape {shape} is not one for each row of the batch")
        places = np.arange(1, int(np.prod(shape[1:], dtype=int)) + 1, dtype=np.uint64) + np.uint64(self._draws << 32)
        self._draws += 1
        with np.errstate(over="ignore"):
            steps = places * np.uint64(_GAMMA)
        bits = _mixed(self._keys[:, None] + tf.constant(steps)[None, :])
        return tf.reshape(tf.cast(_shifted(bits, 40), tf.float32) * 2.0**-24, shape)


def _mixed(z: Any) -> Any:
    """Returns SplitMix64's output for the state z, 64 bits each."""
    z = tf.bitwise.bitwise_xor(z, _shifted(z, 30)) * tf.constant(0xBF58476D1CE4E5B9, tf.uint64)
    z = tf.bitwise.bitwise_xor(z, _shifted(z, 27)) * tf.constant(0x94D049BB133111EB, tf.uint64)
    return tf.bitwise.bitwise_xor(z, _shifted(z, 31))


def _shifted(z: Any, count: int) -> Any:
    return tf.bitwise.right_shift(z, tf.constant(count, tf.uint64))
