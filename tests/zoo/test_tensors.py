"""Canonical safetensors: equal arrays are equal bytes, and what is no tensor file is refused."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from random import Random

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from frostline_zoo.errors import CorruptError
from frostline_zoo.tensors import DTYPES, decode_tensors, encode_tensors, map_tensors, tensors_header

ARRAYS = {
    "kernel": np.arange(6, dtype="f4").reshape(2, 3),
    "bias": np.array([0.5, -1.0]),
    "step": np.array(7, "i8"),
    "none": np.zeros((0, 3), "u1"),
}


def test_arrays_come_back_as_they_were() -> None:
    found = decode_tensors(encode_tensors(ARRAYS))
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(found[name], array)


def test_the_bytes_depend_on_no_order_in_the_dict_or_in_memory() -> None:
    shuffled = {name: np.array(ARRAYS[name], order="F") for name in reversed(ARRAYS)}
    assert encode_tensors(shuffled) == encode_tensors(ARRAYS)


NAMES = st.text(st.characters(exclude_categories=["Cs"]))
KINDS = st.tuples(st.sampled_from(list(DTYPES)), st.lists(st.integers(0, 4), max_size=3))


@given(st.dictionaries(NAMES, KINDS), st.randoms(use_true_random=False))
def test_the_bytes_are_those_that_safetensors_writes(named: dict[str, tuple[str, list[int]]], chance: Random) -> None:
    arrays = {}
    for name, (dtype, shape) in named.items():
        values = np.frombuffer(chance.randbytes(math.prod(shape) * DTYPES[dtype].itemsize), DTYPES[dtype])
        arrays[name] = (values if dtype != "BOOL" else values.view(np.uint8) > 127).reshape(shape)
    assert encode_tensors(arrays) == safetensors.numpy.save(arrays)


def test_arrays_of_the_other_byte_order_keep_their_values() -> None:
    assert encode_tensors({"a": np.arange(5, dtype=">f4")}) == encode_tensors({"a": np.arange(5, dtype="<f4")})


def test_transposed_arrays_keep_their_values() -> None:
    transposed = ARRAYS["kernel"].T
    np.testing.assert_array_equal(decode_tensors(encode_tensors({"a": transposed}))["a"], transposed)


def test_what_is_written_piece_by_piece_has_the_same_header() -> None:
    arrays = {"b": np.arange(12, dtype=np.uint64).reshape(3, 4), "a": np.arange(3, dtype="f4"), "c": np.ones(2, "?")}
    header = tensors_header([("b", "U64", (3, 4)), ("a", "F32", (3,)), ("c", "BOOL", (2,))])
    assert header + b"".join(array.tobytes() for array in arrays.values()) == encode_tensors(arrays)


def test_a_file_that_is_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    whole, path = encode_tensors(ARRAYS), tmp_path / "cut"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(CorruptError):
            map_tensors(path)


def test_a_tail_is_refused() -> None:
    with pytest.raises(CorruptError):
        decode_tensors(encode_tensors(ARRAYS) + b"x")


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
LIES = {
    "not an object": 7,
    "an entry that is none": {"a": 7},
    "an unknown dtype": {"a": ENTRY | {"dtype": "F31"}},
    "a shape of another size": {"a": ENTRY | {"shape": [3]}},
    "an infinite side": {"a": ENTRY | {"shape": [float("inf")]}},
    "a negative shape": {"a": ENTRY | {"shape": [-1, -2]}},
    "a hole": {"a": ENTRY | {"data_offsets": [4, 12]}},
    "an overlap": {"a": ENTRY, "b": ENTRY},
    "offsets that are texts": {"a": ENTRY | {"data_offsets": ["0", "8"]}},
    "metadata": {"a": ENTRY, "__metadata__": {"format": "pt"}},
    "a nest too deep": json.loads("[" * 500 + "]" * 500),
}


@pytest.mark.parametrize("header", LIES.values(), ids=LIES)
def test_a_header_that_lies_is_refused(header: object) -> None:
    text = json.dumps(header).encode()
    with pytest.raises(CorruptError):
        decode_tensors(len(text).to_bytes(8, "little") + text + bytes(8))


def test_a_shape_of_very_many_sides_is_refused_before_they_are_multiplied() -> None:
    text = json.dumps({"a": ENTRY | {"shape": [10**18] * 200_000}}).encode()
    started = time.process_time()
    with pytest.raises(CorruptError):
        decode_tensors(len(text).to_bytes(8, "little") + text + bytes(8))
    assert time.process_time() - started < 5


def test_a_header_longer_than_its_file_is_refused() -> None:
    with pytest.raises(CorruptError):
        decode_tensors((1 << 62).to_bytes(8, "little") + bytes(64))
