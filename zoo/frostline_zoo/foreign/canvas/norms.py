"""Averages and normalizations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.held import Constant, Held, UnsayableError, as_is, channels_last, product
from frostline_zoo.foreign.canvas.pools import global_pooled


def batch_normalized(
    canvas: Canvas, name: str, x: Held, weights: dict[str, Constant], epsilon: float, momentum: float
) -> Held:
    """Returns x normalized by channel, axis 1; `weights` are gamma, beta, moving_mean and moving_variance, (channels,).

    Where gamma and beta are left out, it only centres and scales.
    """
    if x.rank < 2 or x.example_axis(1) != 1:
        raise UnsayableError("normalizes a tensor without channels")
    if x.order[-1] != 1:
        x = canvas.held(x, channels_last(x.rank))
    if any(each.array.shape != (x.shape[1],) for each in weights.values()):
        raise UnsayableError(f"has weights of another shape than its {x.shape[1]} channels")
    config: dict[str, Any] = {"axis": -1, "epsilon": epsilon, "momentum": momentum}
    config |= {key: False for key, name in (("scale", "gamma"), ("center", "beta")) if name not in weights}
    return canvas.layer(name, "BatchNormalization", x, config, weights=weights)


def layer_normalized(
    canvas: Canvas, name: str, x: Held, axis: int, gamma: Constant, beta: Constant | None, epsilon: float
) -> Held:
    """Returns x normalized over the axes from `axis` on."""
    axes = list(range(x.example_axis(axis), x.rank))
    x = canvas.held(x, (x.batch_axis, *(each for each in as_is(x.rank) if each != x.batch_axis)))
    shape = tuple(x.shape[each] for each in axes)
    weights = {"gamma": gamma} | ({} if beta is None else {"beta": beta})
    for key, constant in weights.items():
        if constant.array.size != product([side or 1 for side in shape]):
            raise UnsayableError(f"has weights of shape {constant.array.shape} for {shape}")
        weights[key] = replace(constant, array=constant.array.reshape([side or 1 for side in shape]))
    config: dict[str, Any] = {"axis": -1 if len(axes) == 1 else axes, "epsilon": epsilon, "center": beta is not None}
    return canvas.layer(name, "LayerNormalization", x, config, weights=weights)


def group_normalized(
    canvas: Canvas, name: str, x: Held, groups: int, gamma: Constant, beta: Constant, epsilon: float
) -> Held:
    """Returns x normalized by groups of channels; -1 groups: each channel by itself."""
    x = canvas.held(x, channels_last(x.rank))
    if any(each.array.shape != (x.shape[1],) for each in (gamma, beta)):
        raise UnsayableError(f"has weights of another shape than its {x.shape[1]} channels")
    config = {"groups": groups, "epsilon": epsilon}
    return canvas.layer(name, "GroupNormalization", x, config, weights={"gamma": gamma, "beta": beta})


def reduced(canvas: Canvas, name: str, x: Held, kind: str, axes: list[int], keep: bool) -> Held:
    """Returns the average ("Average") or the largest ("Max") over some axes, those kept as ones or not."""
    over = sorted({x.example_axis(axis) for axis in axes})
    kept = tuple(1 if axis in over else side for axis, side in enumerate(x.shape))
    if x.batch_axis == 0 and over == list(range(2, x.rank)) and 3 <= x.rank <= 5:
        made = global_pooled(canvas, name, x, kind)
    else:
        shape = x.known()
        rest = [axis for axis in x.order[1:] if axis not in over]
        x = canvas.held(x, (x.batch_axis, *over, *rest))
        steps, features = (product([shape[axis] for axis in some]) for some in (over, rest))
        flat = canvas.reshaped(x, replace(x, shape=(shape[x.batch_axis], features, steps), order=(0, 2, 1)))
        pooled = canvas.layer(
            name,
            f"Global{kind}Pooling1D",
            flat,
            {"keepdims": True},
            shape=(shape[x.batch_axis], features, 1),
            never_negative=x.never_negative,
        )
        made = canvas.reshaped(pooled, replace(x, ref=pooled.ref, shape=kept))
    if keep:
        return made
    left = [axis for axis in as_is(made.rank) if axis not in over]
    order = tuple(left.index(axis) for axis in made.order if axis not in over)
    made.known()
    return canvas.reshaped(made, replace(made, shape=tuple(made.shape[axis] for axis in left), order=order))
