"""Arrays that somebody gave, whatever they gave them as."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_client.errors import InvalidError


def as_array(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Returns `values` as an array. Raises InvalidError, which calls it `name`, where NumPy cannot."""
    try:
        return np.asarray(values)
    except ValueError as error:
        what = (
            "has rows of several shapes" if "inhomogeneous" in str(error) else "is nothing that NumPy makes an array of"
        )
        raise InvalidError(f"{name} {what}: give numbers in one shape", reason="BAD_SPEC") from error
