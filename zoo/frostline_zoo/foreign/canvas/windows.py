"""Windows that slide over a feature map: how they are padded, and how many places they take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from frostline_zoo.foreign.canvas.canvas import Canvas
from frostline_zoo.foreign.canvas.held import Held, Side, UnsayableError

Sides = tuple[int, ...]
_MAX_STEP = 1 << 20


@dataclass(frozen=True)
class Window:
    """A window, one number for each spatial axis: its size, its strides, its dilations and the padding around."""

    size: Sides
    strides: Sides
    dilations: Sides
    begins: Sides
    ends: Sides

    def __post_init__(self) -> None:
        lengths = {len(self.strides), len(self.dilations), len(self.begins), len(self.ends)}
        if lengths != {len(self.size)}:
            raise UnsayableError("has strides, dilations or pads for another number of axes than its window")
        if any(not 0 < each <= _MAX_STEP for each in (*self.size, *self.strides, *self.dilations)):
            raise UnsayableError("has a window, a stride or a dilation below one")
        if any(abs(each) > _MAX_STEP for each in (*self.begins, *self.ends)):
            raise UnsayableError("has pads that are too large")

    @property
    def reach(self) -> Sides:
        """How many places a window spans: its size with the gaps."""
        return tuple((size - 1) * gap + 1 for size, gap in zip(self.size, self.dilations, strict=True))

    @property
    def padded(self) -> bool:
        """Whether there is any padding."""
        return any(self.begins) or any(self.ends)

    def places(self, sides: tuple[Side, ...]) -> tuple[Side, ...]:
        """Returns on how many places it comes to rest, for each spatial axis."""
        found = []
        for side, reach, stride, begin, end in zip(
            sides, self.reach, self.strides, self.begins, self.ends, strict=True
        ):
            places = None if side is None else (side + begin + end - reach) // stride + 1
            if places is not None and places < 1:
                raise UnsayableError("has a window larger than its input")
            found.append(places)
        return tuple(found)

    def is_same(self, sides: tuple[Side, ...]) -> bool:
        """Whether its padding is what Keras's `same` gives."""
        return all(
            same_pads(side, reach, stride) == (begin, end)
            for side, reach, stride, begin, end in zip(
                sides, self.reach, self.strides, self.begins, self.ends, strict=True
            )
        )

    def unpadded(self) -> Window:
        """Returns it without its padding."""
        none = (0,) * len(self.size)
        return replace(self, begins=none, ends=none)


def same_pads(side: Side, reach: int, stride: int) -> tuple[int, int] | None:
    """Returns the padding that TensorFlow's SAME, and ONNX's SAME_UPPER, gives one axis; None where that is open."""
    if stride == 1:
        total = reach - 1
    elif side is None:
        return None
    else:
        total = max((-(-side // stride) - 1) * stride + reach - side, 0)
    return total // 2, total - total // 2


def zero_padded(canvas: Canvas, name: str, x: Held, begins: Sides, ends: Sides) -> Held:
    """Returns a feature map, held channels last, with zeros around it; negative numbers crop."""
    for sign, class_name, key in ((1, "ZeroPadding", "padding"), (-1, "Cropping", "cropping")):
        pairs = [[max(sign * b, 0), max(sign * e, 0)] for b, e in zip(begins, ends, strict=True)]
        if not any(map(any, pairs)):
            continue
        grown = [
            side if side is None else side + sign * sum(pair) for side, pair in zip(x.shape[2:], pairs, strict=True)
        ]
        if any(side is not None and side < 1 for side in grown):
            raise UnsayableError("crops its input away")
        shape = (x.shape[0], x.shape[1], *grown)
        config: dict[str, Any] = {key: pairs[0] if len(pairs) == 1 else pairs}
        x = canvas.layer(
            f"{name}_{'pad' if sign > 0 else 'crop'}",
            f"{class_name}{len(pairs)}D",
            x,
            config,
            shape=shape,
            never_negative=x.never_negative,
        )
    return x


def subsampled(canvas: Canvas, name: str, x: Held, strides: Sides) -> Held:
    """Returns every stride-th place of a feature map, held channels last."""
    if all(stride == 1 for stride in strides):
        return x
    rank = len(strides)
    config = {"pool_size": [1] * rank, "strides": list(strides), "padding": "valid"}
    sides = tuple(
        side if side is None else (side - 1) // stride + 1 for side, stride in zip(x.shape[2:], strides, strict=True)
    )
    shape = (*x.shape[:2], *sides)
    return canvas.layer(
        f"{name}_strided", f"MaxPooling{rank}D", x, config, shape=shape, never_negative=x.never_negative
    )
