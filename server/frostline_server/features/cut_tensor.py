"""A tensor that crosses a cut, as features know it: its name in the store, and how its rows are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from frostline_zoo.errors import InvalidError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class CutTensor:
    """One tensor of a cut's frontier, and how its rows are kept.

    Attributes:
        layer: the layer that makes it, for messages.
        digest: its trunk digest; None where rows are never kept: the examples themselves, as pushed.
        shape: of one row.
        dtype: what the trunk puts out.
        kept_dtype: what rows are rounded to, kept as and trained on.
        varies: whether it differs from view to view; otherwise all views share the rows of view 0.
    """

    layer: str
    digest: str | None
    shape: tuple[int, ...]
    dtype: str
    kept_dtype: str
    varies: bool = False

    @property
    def row_bytes(self) -> int:
        """The size of one kept row."""
        return np.dtype(self.kept_dtype).itemsize * int(np.prod(self.shape, dtype=int))

    def rounded(self, rows: Array) -> Array:
        """Returns rows as the trunk puts them out as they are kept.

        Raises:
            InvalidError: a number is too large for the dtype that they are kept as.
        """
        if self.kept_dtype == self.dtype:
            return rows
        with np.errstate(over="ignore"):
            rounded = rows.astype(self.kept_dtype)
        overflown = np.isfinite(rows) & ~np.isfinite(rounded)
        if overflown.any():
            limit = float(ml_dtypes.finfo(self.kept_dtype).max)  # type: ignore[no-untyped-call]
            wider = "bfloat16 or float32" if self.kept_dtype == "float16" else "float32"
            raise InvalidError(
                f"layer {self.layer!r} puts out {float(np.abs(rows[overflown]).max()):.4g}, and {self.kept_dtype} ends "
                f"at {limit:.4g}: write cache.dtype {wider}, or cut at another layer",
                reason="DTYPE_OVERFLOW",
            )
        return rounded
