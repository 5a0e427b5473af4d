"""Local response normalization: each number divided by a power of the average square of its neighbours.

    x * (bias + alpha * mean(x²)) ** -beta

Source: Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep convolutional neural networks", §3.3.
Keras has no layer for it. The averages are pooled, as of a map with one channel; the power is the exponential of a
logarithm, and Keras has that one in its spectrogram: of frames of one sample, whose transform is the sample itself.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from frostline_zoo.foreign.canvas.activations import activated, merged, scaled
from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.held import Held, UnsayableError, channels_last, product
from frostline_zoo.foreign.canvas.pools import average_pooled
from frostline_zoo.foreign.canvas.spans import on_axis
from frostline_zoo.foreign.canvas.windows import Window

_LOGARITHM = {
    "mode": "log",
    "frame_length": 1,
    "frame_step": 1,
    "fft_length": 1,
    "window": None,
    "scaling": None,
    "data_format": "channels_last",
}
# The transform's real and imaginary part.
_KERNELS = (np.ones((1, 1, 1), np.float32), np.zeros((1, 1, 1), np.float32))


def normalized_across_channels(
    canvas: Canvas, name: str, x: Held, size: int, alpha: float, beta: float, bias: float
) -> Held:
    """Returns x normalized by `size` neighbouring channels; one more of them above where `size` is even.

    Args:
        canvas: where it is drawn.
        name: the layer's.
        x: (batch, channels, ...), of known sides.
        size: how many channels count, the own among them; those that are not there count as zeros.
        alpha: what their average square is multiplied by; not negative.
        beta: the power.
        bias: what is added to it; positive.
    """
    x = canvas.held(x, channels_last(x.rank))
    below = (size - 1) // 2
    window = Window((1, size), (1, 1), (1, 1), (0, below), (0, size - 1 - below))
    squares = merged(canvas, f"{name}_squares", "Multiply", [x, x])
    means = on_axis(
        canvas,
        squares,
        1,
        lambda flat: average_pooled(canvas, f"{name}_means", flat, window, (0, 0), padding_counts=True),
    )
    return _normalized(canvas, name, x, means, alpha, beta, bias)


def normalized_within_channels(canvas: Canvas, name: str, x: Held, size: int, alpha: float, beta: float) -> Held:
    """Returns x normalized by the `size` * `size` places around it, in its own channel, with a bias of 1."""
    x = canvas.held(x, channels_last(x.rank))
    pads = ((size - 1) // 2,) * 2
    window = Window((size, size), (1, 1), (1, 1), pads, pads)
    squares = merged(canvas, f"{name}_squares", "Multiply", [x, x])
    means = average_pooled(canvas, f"{name}_means", squares, window, (0, 0), padding_counts=True)
    return _normalized(canvas, name, x, means, alpha, beta, 1.0)


def _normalized(canvas: Canvas, name: str, x: Held, means: Held, alpha: float, beta: float, bias: float) -> Held:
    if not (bias > 0 and alpha >= 0 and math.isfinite(beta)):
        raise UnsayableError("divides by a power of what may not be positive")
    sides = means.known()
    rows = replace(means, shape=(sides[0], sides[1], product(sides[2:])), order=(0, 2, 1))
    # From 1 up, where the logarithm is most exact, and never near Keras's smallest number.
    sums = scaled(canvas, f"{name}_sums", canvas.reshaped(means, rows), alpha / bias, 1.0)
    logarithm = canvas.layer(f"{name}_log", "STFTSpectrogram", sums, _LOGARITHM, constants=_KERNELS)
    exponent = scaled(canvas, f"{name}_exponent", logarithm, -beta, -beta * math.log(bias))
    power = activated(canvas, f"{name}_power", exponent, "exponential")
    power = canvas.reshaped(power, replace(means, ref=power.ref))
    return replace(merged(canvas, name, "Multiply", [x, power]), never_negative=x.never_negative)
