"""Layers of encoders: attention, then two products at each place, each added to what went in."""

from __future__ import annotations

from dataclasses import dataclass

from frostline_zoo.foreign.canvas.held import Held
from frostline_zoo.foreign.hugging_face.layers import Attention, Layers


@dataclass(frozen=True)
class Names:
    """The names of a layer's parts, below its own.

    Attributes:
        attention: what the attention is named here; its arrays have names of their own.
        inputs: query, key and value, or one array with the three.
        output: the attention's output.
        attention_norm: the normalization that belongs to the attention.
        wide: the first product, which is followed by the activation.
        narrow: the second.
        norm: the normalization that belongs to the two.
    """

    attention: str
    inputs: tuple[str, ...]
    output: str
    attention_norm: str
    wide: str
    narrow: str
    norm: str


@dataclass(frozen=True)
class Settings:
    """What all layers of an encoder have in common; `wide` is the number of units between its two products."""

    heads: int
    wide: int | None
    activation: str
    epsilon: float
    dropout: float = 0.0
    attention_dropout: float = 0.0


class Encoder:
    """Draws an encoder's layers; the arrays of layer `name` are named as it is, after a prefix."""

    def __init__(self, layers: Layers, prefix: str, names: Names, settings: Settings) -> None:
        self._layers = layers
        self._prefix = prefix
        self._names = names
        self._settings = settings

    def normed_after(self, name: str, x: Held, mask: Held | None) -> Held:
        """Returns what a layer of BERT makes of x: sums are normalized."""
        names, layers = self._names, self._layers
        x = layers.sum(f"{name}.{names.attention}.sum", self._attention(name, x, mask), x)
        x = self._norm(name, names.attention_norm, x)
        return self._norm(name, names.norm, layers.sum(f"{name}.sum", self._products(name, x), x))

    def normed_before(self, name: str, x: Held) -> Held:
        """Returns what a layer of ViT makes of x: what goes into attention and products is normalized."""
        names, layers = self._names, self._layers
        made = self._attention(name, self._norm(name, names.attention_norm, x), None)
        x = layers.sum(f"{name}.{names.attention}.sum", made, x)
        return layers.sum(f"{name}.sum", self._products(name, self._norm(name, names.norm, x)), x)

    def _attention(self, name: str, x: Held, mask: Held | None) -> Held:
        names, settings, own = self._names, self._settings, f"{name}.{self._names.attention}"
        theirs = Attention(
            tuple(f"{self._prefix}{name}.{each}" for each in names.inputs), f"{self._prefix}{name}.{names.output}"
        )
        made = self._layers.attention(own, theirs, x, settings.heads, mask=mask, dropout=settings.attention_dropout)
        return self._layers.dropout(f"{own}.dropout", made, settings.dropout)

    def _products(self, name: str, x: Held) -> Held:
        names, settings, layers = self._names, self._settings, self._layers
        wide = layers.dense(f"{name}.{names.wide}", f"{self._prefix}{name}.{names.wide}", x, settings.wide)
        wide = layers.activation(f"{name}.{names.wide}.activation", wide, settings.activation)
        made = layers.dense(f"{name}.{names.narrow}", f"{self._prefix}{name}.{names.narrow}", wide, x.shape[-1])
        return layers.dropout(f"{name}.{names.narrow}.dropout", made, settings.dropout)

    def _norm(self, name: str, part: str, x: Held) -> Held:
        return self._layers.layer_norm(f"{name}.{part}", f"{self._prefix}{name}.{part}", x, self._settings.epsilon)
