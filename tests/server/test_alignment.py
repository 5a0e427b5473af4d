"""Arrays that TensorFlow reads where they are, and those that it has to copy."""

from __future__ import annotations

import gc

import ml_dtypes
import numpy as np
import pytest

from frostline_zoo.alignment import aligned, is_aligned

pytestmark = pytest.mark.keras

DTYPES = ["float32", "float16", "float64", "uint8", "int32", "int64", ml_dtypes.bfloat16]


def numbers(array: np.ndarray, dtype: str) -> np.ndarray:
    array[...] = np.random.default_rng(0).integers(0, 100, array.shape).astype(dtype)
    return array


@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4, 5), (1, 1)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_aligned_array_is_the_memory_of_its_tensor(dtype: str, shape: tuple[int, ...]) -> None:
    from frostline_server.engine.as_tensor import as_tensor

    array = numbers(aligned(shape, dtype), dtype)
    tensor = as_tensor(array)
    assert (tensor.numpy() == array).all()
    array.flat[0] = 101
    assert tensor.numpy().flat[0] == 101
    expected = array.copy()
    del array
    gc.collect()
    others = [numbers(aligned(shape, dtype), dtype) for _ in range(100)]
    assert (tensor.numpy() == expected).all(), len(others)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("start", [1, 3, 5])
def test_any_other_array_is_copied(dtype: str, start: int) -> None:
    from frostline_server.engine.as_tensor import as_tensor

    array = numbers(aligned((40,), dtype), dtype)[start:]
    before, tensor = array.copy(), as_tensor(array)
    array[...] = 101
    assert (tensor.numpy() == before).all()


def test_arrays_that_cannot_be_shared_are_not_aligned() -> None:
    array = aligned((8, 16), "float32")
    assert is_aligned(array)
    assert not is_aligned(array[:, 1:])
    assert not is_aligned(array.T)
    array.flags.writeable = False
    assert not is_aligned(array)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_an_array_without_numbers_becomes_a_tensor_too(shape: tuple[int, ...]) -> None:
    from frostline_server.engine.as_tensor import as_tensor

    assert as_tensor(aligned(shape, "float32")).shape == shape
