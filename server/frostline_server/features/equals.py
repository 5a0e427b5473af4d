"""Equal examples: a dataset may hold one content many times, and its row is one row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Places = npt.NDArray[np.int64]


def missing_once(digests: npt.NDArray[np.uint8], lacks: npt.NDArray[np.bool_]) -> tuple[Places, Places, Places]:
    """Returns which rows to compute so that none is missing, which are equal to one of these, and to which.

    Args:
        digests: (n, 32), of the examples.
        lacks: (n,), whose rows are missing.

    Returns:
        The places of the first example of each missing content (k,), ascending; the places of the others (m,); and for
        each of these the place of the first (m,).
    """
    places = np.flatnonzero(lacks)
    words = np.ascontiguousarray(digests[places]).view(np.uint64)
    ordered = np.sort(words[:, 0])  # many times quicker than what follows, and most datasets have no equal examples
    if not (ordered[1:] == ordered[:-1]).any():
        return places, places[:0], places[:0]
    _, firsts, kind = np.unique(words[:, 0], return_index=True, return_inverse=True)
    first_of = firsts[kind]
    # Contents that share a word and nothing else, as good as never, are computed each.
    is_copy = (first_of != np.arange(len(places))) & (words[first_of] == words).all(axis=1)
    return places[~is_copy], places[is_copy], places[first_of[is_copy]]
