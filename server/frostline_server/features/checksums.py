"""Row checksums: one 64-bit number for each row of words, fast enough to verify every row at every read.

    checksum(x) = sum(w[i] * (x[i] ^ x[i] >> 31)) mod 2**64, with w[i] odd and pseudo-random

A multilinear hash of mixed words. Mixing is one-to-one and each weight is odd, so a change of any one word changes the
sum with certainty. Modulo 2**64 a high bit of a word says little: were words not mixed, two sign bits that flip would
always cancel. Mixed, each flipped bit changes a bit below 2**33 too, and several cancel once in 2**31 at the worst;
random changes of several words go unseen once in 2**64.

Source: Lemire & Kaser 2014, "Strongly universal string hashing is fast", arXiv:1202.4961, section 3, whose words are
half as wide as the sum for the same reason; the weights are SplitMix64 (Steele, Lea & Flood 2014).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

_MIXED_BYTES = 256 << 10  # which stay in the processor's cache until they are summed


def row_checksums(words: Words) -> Words:
    """Returns the checksum of every row of `words`: (n, m) -> (n,)."""
    count, width = words.shape
    sums, weights = np.empty(count, np.uint64), _weights(width)
    size = max(1, _MIXED_BYTES // (8 * width or 1))
    room = np.empty((min(size, count), width), np.uint64)
    for start in range(0, count, size):
        part = words[start : start + size]
        mixed = np.right_shift(part, 31, out=room[: len(part)])
        mixed ^= part
        np.einsum("ij,j->i", mixed, weights, out=sums[start : start + size])
    return sums


def as_words(rows: npt.NDArray[Any]) -> Words:
    """Returns rows of any shape and dtype as (n, m) words, each row filled up with zero bytes to whole words."""
    count = len(rows)
    row_bytes = rows.dtype.itemsize * int(np.prod(rows.shape[1:], dtype=int))
    flat = np.ascontiguousarray(rows).reshape(count, -1).view(np.uint8).reshape(count, row_bytes)
    if row_bytes % 8:
        filled = np.zeros((count, row_bytes + 8 - row_bytes % 8), np.uint8)
        filled[:, :row_bytes] = flat
        flat = filled
    return flat.view(np.uint64)


def from_words(words: Words, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Returns what `as_words` was given, as rows of `shape` and `dtype`."""
    row_bytes = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=int))
    flat = words.view(np.uint8).reshape(len(words), words.shape[1] * 8)[:, :row_bytes]
    return np.ascontiguousarray(flat).view(dtype).reshape(len(words), *shape)


@functools.lru_cache(maxsize=16)
def _weights(count: int) -> Words:
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (z ^ (z >> np.uint64(31))) | np.uint64(1)
