"""Numbers that are some: what a network would turn into NaN is refused before it gets there."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_zoo.errors import InvalidError


def check_finite(rows: npt.NDArray[Any], places: npt.NDArray[np.int64], what: str) -> None:
    """Checks that no row (n, ...) holds NaN or infinity.

    Args:
        rows: examples or inputs.
        places: (n,), their numbers in the dataset or the call.
        what: what a row holds that does.

    Raises:
        InvalidError: one does (NOT_FINITE); it names the first.
    """
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        row = np.flatnonzero(~np.isfinite(rows).reshape(len(rows), -1).all(axis=1))[0]
        raise InvalidError(f"row {places[row]} holds {what}: remove it or fill it in", reason="NOT_FINITE")
