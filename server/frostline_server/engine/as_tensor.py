"""Arrays as tensors of the same memory, where they can be."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from frostline_zoo.alignment import is_aligned

Array = npt.NDArray[Any]


def as_tensor(array: Array) -> Any:
    """Returns an array as a tensor: of the same memory, so that it must not change while the tensor is used, or a copy.

    Features are the largest thing there is in memory, and memory that is new costs more than what is computed from it.
    """
    if not array.size or not is_aligned(array) or tf.config.list_logical_devices("GPU"):
        return tf.constant(array)
    if array.dtype == ml_dtypes.bfloat16:  # which NumPy does not export
        return tf.bitcast(as_tensor(array.view(np.uint16)), tf.bfloat16)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
