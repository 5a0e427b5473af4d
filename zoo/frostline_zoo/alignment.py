"""Arrays whose memory TensorFlow can use as it is. NumPy's own begin anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_BYTES = 64  # EIGEN_MAX_ALIGN_BYTES of TensorFlow 2.21, which ends the process where a tensor's memory is not aligned


def aligned(shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """Returns an aligned array, to be filled."""
    size_bytes = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
    memory = np.empty(size_bytes + _BYTES, np.uint8)
    start = -memory.ctypes.data % _BYTES
    return memory[start : start + size_bytes].view(dtype).reshape(shape)


def is_aligned(array: Array) -> bool:
    """Whether an array could be the memory of a tensor."""
    return bool(array.flags.c_contiguous and array.flags.writeable and array.ctypes.data % _BYTES == 0)
