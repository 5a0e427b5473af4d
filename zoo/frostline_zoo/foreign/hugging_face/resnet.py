"""Residual networks: resnet of transformers, and timm's of that kind."""

from __future__ import annotations

import re
from dataclasses import dataclass

from frostline_zoo.foreign.canvas.held import Held, as_is
from frostline_zoo.foreign.canvas.pools import average_pooled, max_pooled, reaching_over
from frostline_zoo.foreign.canvas.windows import Window
from frostline_zoo.foreign.hugging_face.config import Config
from frostline_zoo.foreign.hugging_face.images import image_input
from frostline_zoo.foreign.hugging_face.layers import Layers
from frostline_zoo.foreign.hugging_face.refusals import bad_config, unknown
from frostline_zoo.foreign.hugging_face.timm import require_pooling, timm_arguments, timm_size

_HEADS = ("ResNetModel", "ResNetForImageClassification")
TIMM_NAMES = re.compile(
    r"resnet(10t|14t|18d?|26[dt]?|34d?|50[cdst]?|101[cds]?|152[cds]?|200d?)"
    r"|wide_resnet(50|101)_2|resnext(50|101)d?_\d{1,3}x\d{1,3}d"
)
# What a timm network is made with that its arrays say too, by their names and shapes, and what training alone knows.
_TIMM_ARGUMENTS = (
    *("layers", "channels", "cardinality", "base_width", "stem_width", "stem_type", "avg_down", "down_kernel_size"),
    *("block_reduce_first", "zero_init_last", "drop_block_rate"),
)
_TIMM_STAGES = 4
_MOST_BLOCKS = 1000


@dataclass(frozen=True)
class _Convolution:
    """A convolution with its normalization.

    Attributes:
        name: of its kernel.
        norm: of the normalization's arrays.
        filters: how many; as many as the kernel has where this is None.
        size: the side of its window; the kernel's where this is None.
        stride: how far the window moves.
    """

    name: str
    norm: str
    filters: int | None = None
    size: int | None = None
    stride: int = 1


class _Drawing:
    """A network while it is drawn; its arrays' names begin with a prefix, and its convolutions may be in groups."""

    def __init__(self, layers: Layers, prefix: str, activation: str, *, grouped: bool = False) -> None:
        self._layers = layers
        self._grouped = grouped
        self._prefix = prefix
        self._activation = activation

    def convolved(self, part: _Convolution, x: Held) -> Held:
        """Returns a convolution, padded by half its window, and normalized."""
        layers, theirs = self._layers, self._prefix + part.name
        side = part.size or layers.arrays.shape(f"{theirs}.weight", 4)[-1]
        x = layers.convolution(
            part.name,
            theirs,
            x,
            filters=part.filters,
            size=(side, side),
            stride=(part.stride,) * 2,
            padding=(side // 2,) * 2,
            grouped=self._grouped,
        )
        return layers.batch_norm(part.norm, self._prefix + part.norm, x)

    def activated(self, name: str, x: Held) -> Held:
        """Returns x after the network's activation."""
        return self._layers.activation(name, x, self._activation)

    def stem_pooled(self, x: Held) -> Held:
        """Returns the largest of each three places, every other time."""
        return max_pooled(self._layers.canvas, "pool", x, Window((3, 3), (2, 2), (1, 1), (1, 1), (1, 1)), (0, 0))

    def block(self, name: str, x: Held, parts: list[_Convolution], shortcut: Held) -> Held:
        """Returns what a block makes of x: convolutions one on the other, and the shortcut added to the last."""
        *lower, last = parts
        for part in lower:
            x = self.activated(f"{part.norm}.activation", self.convolved(part, x))
        x = self._layers.sum(f"{name}.sum", self.convolved(last, x), shortcut)
        return self.activated(f"{name}.activation", x)

    def pooled(self, name: str, x: Held) -> Held:
        """Returns the average over all places, (batch, channels)."""
        return self._layers.canvas.layer(name, "GlobalAveragePooling2D", x, {}, shape=x.shape[:2], order=as_is(2))


def draw_resnet(layers: Layers, config: Config, size: tuple[int, int]) -> list[Held]:
    """Draws a resnet of transformers for images of a size, and returns its outputs.

    Raises:
        InvalidError: as `draw_bert`.
    """
    named = (config.words("architectures") or _HEADS)[0]
    if named not in _HEADS:
        raise unknown("architecture", named, _HEADS)
    config.require("layer_type", "bottleneck", "bottleneck", "basic")
    prefix = "resnet." if "resnet.embedder.embedder.convolution.weight" in layers.arrays else ""
    drawing = _Drawing(layers, prefix, config.word("hidden_act", "relu"))
    stem = "embedder.embedder"
    x = image_input(layers.canvas, size, config.whole("num_channels", 3))
    first = _Convolution(f"{stem}.convolution", f"{stem}.normalization", config.whole("embedding_size"), 7, 2)
    x = drawing.stem_pooled(drawing.activated(f"{stem}.activation", drawing.convolved(first, x)))
    filters, depths = config.wholes("hidden_sizes"), config.wholes("depths")
    if len(filters) != len(depths):
        raise bad_config("hidden_sizes and depths are not of one length")
    for stage, (outer, depth) in enumerate(zip(filters, depths, strict=True)):
        for at in range(depth):
            strides = at == 0 and (stage > 0 or config.switch("downsample_in_first_stage", False))
            x = _block(drawing, config, f"encoder.stages.{stage}.layers.{at}", x, outer, 2 if strides else 1)
    pooled = drawing.pooled("pooler", x)
    return [x, pooled] if named == _HEADS[0] else [layers.dense("classifier", "classifier.1", pooled, None)]


def _block(drawing: _Drawing, config: Config, name: str, x: Held, outer: int, stride: int) -> Held:
    inner, in_first = max(outer // 4, 1), config.switch("downsample_in_bottleneck", False)
    shapes = [(outer, 3, stride), (outer, 3, 1)]
    if config.word("layer_type", "bottleneck") == "bottleneck":
        shapes = [(inner, 1, stride if in_first else 1), (inner, 3, 1 if in_first else stride), (outer, 1, 1)]
    parts = [
        _Convolution(f"{name}.layer.{at}.convolution", f"{name}.layer.{at}.normalization", *shape)
        for at, shape in enumerate(shapes)
    ]
    shortcut = x
    if x.shape[1] != outer or stride > 1:
        theirs = _Convolution(f"{name}.shortcut.convolution", f"{name}.shortcut.normalization", outer, 1, stride)
        shortcut = drawing.convolved(theirs, x)
    return drawing.block(name, x, parts, shortcut)


def draw_timm_resnet(layers: Layers, config: Config) -> list[Held]:
    """Draws a network of timm whose architecture matches `TIMM_NAMES`. Raises InvalidError as `draw_resnet`."""
    timm_arguments(config, _TIMM_ARGUMENTS)
    require_pooling(config, "avg")
    drawing, arrays = _Drawing(layers, "", "relu", grouped=True), layers.arrays
    deep = "conv1.weight" not in arrays
    stem = [_Convolution("conv1", "bn1", None, None, 2)]
    if deep:
        stem = [_Convolution("conv1.0", "conv1.1", None, None, 2), _Convolution("conv1.3", "conv1.4")]
        stem.append(_Convolution("conv1.6", "bn1"))
    x = image_input(layers.canvas, timm_size(config), arrays.shape(f"{stem[0].name}.weight", 4)[1])
    for part in stem:
        x = drawing.activated(f"{part.norm}.activation", drawing.convolved(part, x))
    x = drawing.stem_pooled(x)
    for stage in range(1, _TIMM_STAGES + 1):
        depth = sum(f"layer{stage}.{at}.conv1.weight" in arrays for at in range(_MOST_BLOCKS))
        for at in range(depth):
            x = _timm_block(layers, drawing, f"layer{stage}.{at}", x, 2 if at == 0 and stage > 1 else 1)
    pooled = drawing.pooled("global_pool", x)
    return [layers.dense("fc", "fc", pooled, None) if "fc.weight" in arrays else pooled]


def _timm_block(layers: Layers, drawing: _Drawing, name: str, x: Held, stride: int) -> Held:
    """Draws a block: two convolutions, or three of which the second moves by the stride."""
    three = f"{name}.conv3.weight" in layers.arrays
    strides = (1, stride, 1) if three else (stride, 1)
    parts = [
        _Convolution(f"{name}.conv{at}", f"{name}.bn{at}", stride=each) for at, each in enumerate(strides, start=1)
    ]
    shortcut, down = x, f"{name}.downsample"
    if f"{down}.2.weight" in layers.arrays:  # the image is made smaller before the convolution
        if stride > 1:
            window = Window((2, 2), (2, 2), (1, 1), (0, 0), (0, 0))
            over = reaching_over(window, x.shape[2:])
            shortcut = average_pooled(layers.canvas, f"{down}.pool", x, window, over, padding_counts=False)
        shortcut = drawing.convolved(_Convolution(f"{down}.1", f"{down}.2"), shortcut)
    elif f"{down}.0.weight" in layers.arrays:
        shortcut = drawing.convolved(_Convolution(f"{down}.0", f"{down}.1", stride=stride), x)
    return drawing.block(name, x, parts, shortcut)
