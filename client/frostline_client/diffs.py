"""What two versions share, layer by layer: a layer is known by what it computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from frostline_client.manifests import Layer


@dataclass(frozen=True)
class LayerDiff:
    """One layer of one or both versions.

    Attributes:
        status: `shared` where both have a layer that computes the same, under whatever name; `changed` where the layer
            of that name computes something else; `added` where only `b` has it; `removed` where only `a` has it.
        a: the layer in the first version.
        b: the layer in the second version.
    """

    status: Literal["shared", "changed", "added", "removed"]
    a: Layer | None
    b: Layer | None


def diff_layers(a: tuple[Layer, ...], b: tuple[Layer, ...]) -> tuple[LayerDiff, ...]:
    """Returns the layers of `b` in order, each beside its like in `a`, then those that only `a` has.

    A layer's like has its digest, of several the one of its name; failing that it has its name.
    """
    left = {layer.name: layer for layer in a}
    likes: dict[str, Layer] = {}
    for layer in b:  # the same in both comes first, so that a renamed layer cannot take another one's like
        if layer.name in left and left[layer.name].digest == layer.digest:
            likes[layer.name] = left.pop(layer.name)
    for layer in b:
        like = next((other for other in left.values() if other.digest == layer.digest), None)
        if layer.name not in likes and like is not None:
            likes[layer.name] = left.pop(like.name)
    for layer in b:
        if layer.name not in likes and layer.name in left:
            likes[layer.name] = left.pop(layer.name)
    rows = [_row(likes.get(layer.name), layer) for layer in b]
    return (*rows, *(LayerDiff("removed", layer, None) for layer in left.values()))


def _row(like: Layer | None, layer: Layer) -> LayerDiff:
    if like is None:
        return LayerDiff("added", None, layer)
    return LayerDiff("shared" if like.digest == layer.digest else "changed", like, layer)
