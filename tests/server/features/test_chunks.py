"""How many rows are worked on at once."""

from __future__ import annotations

import numpy as np

from frostline_server.features.chunks import chunk_size

MIB = 1 << 20


def test_a_chunk_is_a_few_whole_batches_within_a_bound_of_bytes() -> None:
    assert chunk_size(128, 1024, None).rows == 512
    assert chunk_size(128, MIB // 10, None).rows == 128
    assert chunk_size(32, MIB, None).rows == 32, "one batch at the least"


def test_the_larger_batches_of_a_cut_below_are_kept_whole() -> None:
    below = chunk_size(512, 1024, None)
    assert chunk_size(64, 1024, below).rows == 512
    assert chunk_size(64, 1024, chunk_size(16, 1024, None)).rows == 64


def test_but_not_where_they_would_be_too_large() -> None:
    below = chunk_size(512, 1024, None)
    assert chunk_size(16, 2 * MIB, below).rows == 16
    assert chunk_size(16, MIB // 2, below).rows == 32


def test_a_cut_without_a_trunk_has_no_batches_to_keep_whole() -> None:
    inputs = chunk_size(None, MIB // 2, None)
    assert chunk_size(16, MIB // 2, inputs).rows == 32


def test_few_rows_are_cut_up_too() -> None:
    assert [len(chunk) for chunk in chunk_size(16, 1024, None).cut(np.arange(100))] == [16] * 6 + [4]
