"""Any number of rows through a trunk, which takes so many of them at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_server.features.sources import Trunk
from frostline_zoo.alignment import aligned

Array = npt.NDArray[Any]


def put_through(
    trunk: Trunk, rows: list[Array], digests: npt.NDArray[np.uint8], view: int, before_each: Callable[[], None]
) -> list[Array]:
    """Returns what a trunk makes of rows (n, *shape), one array a tensor. The last row fills up the last batch.

    Args:
        trunk: the trunk.
        rows: one array for each tensor that enters it.
        digests: (n, 32), of the rows' examples.
        view: which view of them.
        before_each: called before each batch.
    """
    parts: list[list[Array]] = []
    for start in range(0, len(digests), trunk.batch_size):
        before_each()
        batch = slice(start, start + trunk.batch_size)
        entering = [_filled_up(array[batch], trunk.batch_size) for array in (*rows, digests)]
        outputs = trunk.forward(entering[:-1], entering[-1], view)
        parts.append([output[: len(digests) - start] for output in outputs])
    return [arrays[0] if len(arrays) == 1 else np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def _filled_up(rows: Array, count: int) -> Array:
    if len(rows) == count:
        return rows
    whole = aligned((count, *rows.shape[1:]), rows.dtype)
    whole[: len(rows)] = rows
    whole[len(rows) :] = rows[-1]
    return whole
