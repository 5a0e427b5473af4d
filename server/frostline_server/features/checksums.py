"""Row checksums: one 64-bit number for each row of words, fast enough to verify every row at every read.

    checksum(x) = sum(a[k] * c[k]) mod 2**64, over the 32-bit halves c of the words, with pseudo-random 64-bit a[k]

A multilinear hash. Any change within one half changes the sum with certainty, changes of several halves go unseen once
in 2**32 at the worst. Halves, since modulo 2**64 the high bits of a wider factor count little: were whole words summed,
two sign bits that flip would always cancel.

It is computed as two sums of words, which NumPy does several times as fast: with weights w over the words x as they
are, and with weights v over those that begin in the middle of one and end in the middle of the next. So

    a[2i] = w[i] + 2**32 * v[i - 1]        a[2i + 1] = 2**32 * w[i] + v[i]        v = 0 outside

which is odd, as w and v are, but for the last one, which no other can make up for.

Source: Lemire & Kaser 2014, "Strongly universal string hashing is fast", arXiv:1202.4961, section 3; the weights are
SplitMix64 (Steele, Lea & Flood 2014).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]


def row_checksums(words: Words) -> Words:
    """Returns the checksum of every row of `words`: (n, m) -> (n,)."""
    words = np.ascontiguousarray(words)
    count, width = words.shape
    sums: Words = np.einsum("ij,j->i", words, _weights(width, 0))
    if width > 1 and count:
        straddling = np.ndarray((count, width - 1), np.uint64, words, offset=4, strides=words.strides)
        sums += np.einsum("ij,j->i", straddling, _weights(width - 1, 1))
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


@functools.lru_cache(maxsize=32)
def _weights(count: int, seed: int) -> Words:
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (z ^ (z >> np.uint64(31))) | np.uint64(1)
