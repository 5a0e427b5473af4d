"""Indices: inputs that a network looks up in the rows of an Embedding.

TensorFlow cuts 1.7 down to 1 and counts -1 from the end, and compiled by XLA it takes the last row for every index past
it. All three are mistakes in the data, which would train a network all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_zoo.errors import InvalidError
from frostline_zoo.manifest import Manifest, TensorRef

Array = npt.NDArray[Any]


EXACT = "float64"  # holds all that an input may have been pushed as, as it was


@dataclass(frozen=True)
class Indices:
    """What an input must be: whole numbers from 0 up to, and without, `count`, the rows of the layer `layer`."""

    layer: str
    count: int

    def checked(self, rows: Array, places: Array, dtype: str) -> Array:
        """Returns rows, (n, ...) EXACT, as the input's dtype, to which indices alone can be cast unseen.

        Args:
            rows: what would be the input.
            places: (n,), their numbers in the dataset or the call.
            dtype: of the input.

        Raises:
            InvalidError: one of them holds something else.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            cast = rows.astype(dtype)
        is_index = (rows >= 0) & (rows < self.count) & (rows == np.floor(rows)) & (cast == rows)
        if is_index.all():
            return cast
        row = int(np.flatnonzero(~is_index.reshape(len(rows), -1).all(axis=1))[0])
        where = tuple(np.argwhere(~is_index[row])[0].tolist())
        at = ",".join(map(str, where)) or "0"
        raise InvalidError(
            f"row {places[row]} holds {rows[row][where]:.17g} at {at}: "
            f"layer {self.layer!r} takes whole numbers from 0 to {self.count - 1} that {dtype}, its input, can hold",
            reason="VALUE_OUT_OF_RANGE",
        )


def indices_of(manifest: Manifest, input_name: str) -> Indices | None:
    """Returns what an input must be that goes straight into an Embedding, into the smallest where it is several."""
    entry = TensorRef(input_name)
    found = [
        Indices(layer.name, int(layer.config["input_dim"]))
        for layer in manifest.layers
        if layer.class_name == "Embedding" and any(entry in call.tensors() for call in layer.calls)
    ]
    return min(found, key=lambda indices: indices.count, default=None)
