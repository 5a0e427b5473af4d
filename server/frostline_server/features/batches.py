"""Any number of rows through a trunk, which takes so many of them at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_server.features.chunks import chunks_of
from frostline_server.features.sources import Trunk

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
    for batch in chunks_of(np.arange(len(digests)), trunk.batch_size):
        before_each()
        taken: Any = slice(batch[0], batch[-1] + 1)
        if len(batch) < trunk.batch_size:
            taken = np.concatenate([batch, np.repeat(batch[-1:], trunk.batch_size - len(batch))])
        outputs = trunk.forward([array[taken] for array in rows], digests[taken], view)
        parts.append([output[: len(batch)] for output in outputs])
    return [arrays[0] if len(arrays) == 1 else np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
