"""Deltas: what comes out is what went in, and what is alike costs little."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline_zoo.blobs.delta import decode, encode

CHUNKS = st.lists(st.sampled_from([b"a" * 40, b"0123456789" * 7, b"x", b"", bytes(range(256))]), max_size=12)


@given(CHUNKS, CHUNKS)
def test_a_content_comes_back_whatever_its_base(content: list[bytes], base: list[bytes]) -> None:
    whole, other = b"".join(content), b"".join(base)
    assert decode(encode(whole, other), other) == whole


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_bytes_that_have_nothing_in_common_come_back_too(content: bytes, base: bytes) -> None:
    assert decode(encode(content, base), base) == content


def test_a_small_change_in_a_large_content_is_a_small_delta() -> None:
    base = random.Random(1).randbytes(100_000)
    content = base[:30_000] + b"changed" + base[30_007:70_000] + b"inserted" + base[70_000:]
    assert len(encode(content, base)) < 200


@pytest.mark.parametrize("delta", [b"", b"garbage", encode(b"x" * 1000, b"")[:-3]])
def test_what_is_no_delta_is_refused(delta: bytes) -> None:
    with pytest.raises(ValueError, match="not a delta"):
        decode(delta, b"base")
