"""Convolutions and poolings: operations that slide a window over feature maps, channels last."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from frostline_zoo.foreign.saved_model.graph import Node
from frostline_zoo.foreign.saved_model.steps import Steps, unsupported
from frostline_zoo.foreign.saved_model.values import Flow, Known, Side, Turned, number, sides, word


@dataclass(frozen=True)
class _Window:
    size: list[int]
    strides: list[int]
    rates: list[int]
    padding: str

    def without(self, axis: int) -> _Window:
        """Returns it without a spatial axis that a graph added for it."""
        kept = [[each for at, each in enumerate(listed) if at != axis] for listed in self._lists()]
        return _Window(kept[0], kept[1], kept[2], self.padding)

    def _lists(self) -> list[list[int]]:
        return [self.size, self.strides, self.rates]

    def places(self, shape: tuple[Side, ...]) -> list[Side]:
        """Returns on how many places it comes to rest."""
        found: list[Side] = []
        for side, size, stride, rate in zip(shape[1:-1], self.size, self.strides, self.rates, strict=True):
            reach = 0 if self.padding == "same" else (size - 1) * rate
            found.append(None if side is None else max(-(-(side - reach) // stride), 0))
        return found


def convolution(steps: Steps, node: Node, x: Flow, kernel: Known) -> Flow:
    """Returns a convolution, depthwise or not, over one axis or two, dilated in either of TensorFlow's ways."""
    deep = node.op == "DepthwiseConv2dNative"
    window = _window(node, list(kernel.array.shape[:-2]), "dilations")
    array, turned = kernel.array, x.turned
    for turn in reversed(x.turned):
        if turn.kind == "expanded" and turn.axis in (1, 2) and array.shape[turn.axis - 1] == 1 and array.ndim == 4:
            array, window = array.squeeze(turn.axis - 1), window.without(turn.axis - 1)
        elif turn.kind == "dilated" and window.padding == "valid" and set(window.rates) == {1}:
            window = replace(window, rates=list(turn.rates))
        else:
            array, window = kernel.array, _window(node, list(kernel.array.shape[:-2]), "dilations")
            x, turned = steps.plain(x, node), ()
            break
    base, channels = Flow(x.step), x.step.shape[-1]
    if turned and turned[0].kind == "dilated":
        base, window = _padded_before(steps, node, base, turned[0], window)
    if deep and (len(set(window.strides)) > 1 or array.ndim > 4):
        raise unsupported(node, "has strides that differ")
    if max(window.strides) > 1 and max(window.rates) > 1:
        raise unsupported(node, "is strided and dilated at once")
    config: dict[str, Any] = {
        "kernel_size": window.size,
        "strides": window.strides,
        "padding": window.padding,
        "dilation_rate": window.rates,
        "use_bias": False,
    }
    taken, multiplied = array.shape[-2:]
    if deep:
        config["depth_multiplier"] = multiplied
        fits, filters = taken == channels, taken * multiplied
    else:
        groups = channels // taken if channels else 1
        config |= {"filters": multiplied, "groups": groups}
        fits, filters = taken * groups == channels, multiplied
    if not fits or len(base.step.shape) != array.ndim:
        raise unsupported(node, f"has a kernel of shape {kernel.array.shape} for a tensor of shape {x.shape}")
    shape = (None, *window.places(base.step.shape), filters)
    weights = {"kernel": replace(kernel, array=array)}
    class_name = f"{'DepthwiseConv' if deep else 'Conv'}{array.ndim - 2}D"
    return Flow(steps.add(node, class_name, config, [base], shape, weights).step, turned)


def gathered(node: Node, x: Flow, rates: Known, pads: Known) -> Flow:
    """Returns x with every rate-th place gathered, as TensorFlow prepares a dilated convolution."""
    pairs = pads.integers()
    if x.turned and x.turned[-1].kind != "expanded":
        raise unsupported(node, "gathers places twice")
    turn = Turned("dilated", 0, tuple(rates.integers()), tuple(pairs[::2]), tuple(pairs[1::2]))
    return Flow(x.step, (*x.turned, turn))


def spread(node: Node, x: Flow, crops: Known) -> Flow:
    """Returns x with its places where they were before `gathered`."""
    if not x.turned or x.turned[-1].kind != "dilated" or any(crops.integers()[::2]):
        raise unsupported(node, "spreads places that nothing gathered")
    return Flow(x.step, x.turned[:-1])


def _padded_before(steps: Steps, node: Node, base: Flow, turn: Turned, window: _Window) -> tuple[Flow, _Window]:
    """Returns a dilated convolution's input and window: `same` where the zeros at the start are half of its reach."""
    reaches = [(size - 1) * rate for size, rate in zip(window.size, turn.rates, strict=True)]
    if not any(turn.begins):
        return base, window
    if all(begin == reach // 2 for begin, reach in zip(turn.begins, reaches, strict=True)):
        return base, replace(window, padding="same")
    raise unsupported(node, "is padded in a way of its own")


def pooling(steps: Steps, node: Node, x: Flow) -> Flow:
    """Returns the mean or the largest of each window."""
    window, turned = _window(node, sides(node.attributes, "ksize")[1:-1], "dilations"), x.turned
    if len(turned) == 1 and turned[0].kind == "expanded" and turned[0].axis in (1, 2):
        window, x = window.without(turned[0].axis - 1), Flow(x.step)
    elif turned:
        x, turned = steps.plain(x, node), ()
    config = {"pool_size": window.size, "strides": window.strides, "padding": window.padding}
    shape = (None, *window.places(x.step.shape), x.step.shape[-1])
    kind = "AveragePooling" if node.op == "AvgPool" else "MaxPooling"
    return Flow(steps.add(node, f"{kind}{len(window.size)}D", config, [x], shape).step, turned)


def transposed_convolution(steps: Steps, node: Node, sizes: Known, kernel: Known, x: Flow) -> Flow:
    """Returns a transposed convolution, whose output is as large as Keras makes it."""
    window = _window(node, list(kernel.array.shape[:-2]), "dilations")
    x = steps.plain(x, node)
    grown: list[Side] = []
    for side, size, stride in zip(x.step.shape[1:-1], window.size, window.strides, strict=True):
        extra = max(size - stride, 0) if window.padding == "valid" else 0
        grown.append(None if side is None else side * stride + extra)
    asked = sizes.array.reshape(-1).tolist()[1:-1]
    if max(window.rates) > 1 or any(
        a is not None and b is not None and a != b for a, b in zip(asked, grown, strict=True)
    ):
        raise unsupported(node, "makes an output of another size than Keras does")
    config = {
        "filters": kernel.array.shape[-2],
        "kernel_size": window.size,
        "strides": window.strides,
        "padding": window.padding,
        "use_bias": False,
    }
    shape = (None, *grown, kernel.array.shape[-2])
    return steps.add(node, "Conv2DTranspose", config, [x], shape, {"kernel": kernel})


def _window(node: Node, size: list[int], rates: str) -> _Window:
    if word(node.attributes, "data_format", "NHWC") not in ("NHWC", "NDHWC"):
        raise unsupported(node, "has channels first")
    padding = word(node.attributes, "padding", "VALID").lower()
    if padding not in ("same", "valid"):
        raise unsupported(node, "is padded in a way of its own")
    around = [sides(node.attributes, key) or [1] * (len(size) + 2) for key in ("strides", rates)]
    if any(len(each) != len(size) + 2 or each[0] != 1 or each[-1] != 1 or min(each) < 1 for each in around):
        raise unsupported(node, "slides over examples or channels")
    return _Window(size, around[0][1:-1], around[1][1:-1], padding)


def normalised(steps: Steps, node: Node, x: Flow, weights: list[Known]) -> Flow:
    """Returns a batch normalization in inference mode."""
    if "is_training" not in node.attributes or node.attributes["is_training"].b:
        raise unsupported(node, "normalises by the batch it is given")
    if word(node.attributes, "data_format", "NHWC") != "NHWC":
        raise unsupported(node, "has channels first")
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    held = dict(zip(names, weights, strict=True))
    config: dict[str, Any] = {"epsilon": number(node.attributes, "epsilon", 1e-4), "scale": True, "center": True}
    for key, part, plain in (("gamma", "scale", 1), ("beta", "center", 0)):
        if not held[key].sources and np.all(held[key].array == plain):
            config[part] = False
            del held[key]
    return Flow(steps.add(node, "BatchNormalization", config, [Flow(x.step)], x.step.shape, held).step, x.turned)
