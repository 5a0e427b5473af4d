"""Layers by their definitions in NumPy, channels first: what imports are held against."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def across(x: Array, size: int, alpha: float, beta: float, bias: float) -> Array:
    """Returns what ONNX and Caffe define, channel by channel."""
    squares, sums = x.astype(np.float64) ** 2, np.zeros(x.shape)
    for channel in range(x.shape[1]):
        first, last = channel - (size - 1) // 2, channel + size // 2
        sums[:, channel] = squares[:, max(first, 0) : last + 1].sum(1)
    return x * (bias + alpha / size * sums) ** -beta


def within(x: Array, size: int, alpha: float, beta: float) -> Array:
    """Returns what Caffe defines for a region within a channel: what is padded counts."""
    return x * (1 + alpha * windows(x.astype(np.float64) ** 2, size, 1, size // 2).mean((-1, -2))) ** -beta


def windows(x: Array, size: int, stride: int, pad: int, ends: int | None = None, value: float = 0.0) -> Array:
    """Returns the windows over a map: (batch, channels, rows, columns, size, size)."""
    pads = (pad, pad if ends is None else ends)
    x = np.pad(x, ((0, 0), (0, 0), pads, pads), constant_values=value)
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]


def conv(x: Array, kernel: Array, bias: Array | None = None, stride: int = 1, pad: int = 0, groups: int = 1) -> Array:
    """Returns a convolution, with as many groups as are said."""
    seen = windows(x, kernel.shape[2], stride, pad)
    parts = zip(np.split(seen, groups, 1), np.split(kernel, groups), strict=True)
    made = np.concatenate([np.einsum("bcijhw,fchw->bfij", *part) for part in parts], 1)
    return made if bias is None else made + bias[:, None, None]


def pool(x: Array, size: int, stride: int, pad: int = 0) -> Array:
    """Returns the largest numbers; places are rounded up."""
    over = -(x.shape[2] + 2 * pad - size) % stride
    return windows(x, size, stride, pad, pad + over, -np.inf).max((-1, -2))


def dense(x: Array, kernel: Array, bias: Array) -> Array:
    """Returns a product of what each example has in a row."""
    return x.reshape(len(x), -1) @ kernel.T + bias


def relu(x: Array) -> Array:
    """Returns what is above zero."""
    return np.maximum(x, 0)


def softmax(x: Array) -> Array:
    """Returns probabilities over axis 1."""
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
