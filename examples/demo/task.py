"""A task of the demo: what is reused for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    """A new task with few examples, and a base whose lower layers are reused for it.

    Attributes:
        title: one line.
        notes: what a reader has to know to judge the figures.
        base: the base's name in the zoo.
        examples: one dataset a seed, of few examples each.
        held_out: the dataset that accuracy is measured on; nothing trains on it, and nothing is chosen by it.
        frozen: the layer of the base up to which it is reused, and frozen.
        thawed: the layer up to which it stays frozen when the upper layers thaw.
        head: what is put on top.
        scratch: a whole network, to be trained from its first weights.
        preprocessing: how an example becomes the input of the network from scratch.
        epochs: for every method, all stages together.
        scratch_rate, head_rate, thawed_rate: Adam's learning rate for a network from scratch, for a head on a frozen
            trunk, and for thawed layers.
        scratch_suffix: what the datasets' names end in for a network from scratch. Images have no size of their own,
            so a first layer that nobody has built before needs arrays.
    """

    title: str
    notes: Sequence[str]
    base: str
    examples: Sequence[str]
    held_out: str
    frozen: str
    thawed: str
    head: Sequence[Any]
    scratch: Sequence[Any]
    preprocessing: Mapping[str, Any] | None
    epochs: int
    batch_size: int
    scratch_rate: float
    head_rate: float
    thawed_rate: float
    scratch_suffix: str = ""
