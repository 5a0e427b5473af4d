"""What a Keras file holds, as plain data: a configuration, and numbers in groups. Nothing of Keras or HDF5 is in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Stored(Protocol):
    """An array, read or not: `[()]` gives its numbers."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sides."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its numbers."""

    def __getitem__(self, key: Any, /) -> Any:
        """Returns numbers; all of them for the key `()`."""


@dataclass(frozen=True)
class Group:
    """Arrays and further groups, by name, in the file's order.

    Attributes:
        weight_names: the paths of a layer's weights below it, in order, where the file lists them.
        members: arrays and groups.
    """

    weight_names: tuple[str, ...]
    members: dict[str, Group | Stored]

    def at(self, path: str) -> Group | Stored | None:
        """Returns what is at a path below the group."""
        found: Group | Stored | None = self
        for name in filter(None, path.split("/")):
            found = found.members.get(name) if isinstance(found, Group) else None
        return found


@dataclass(frozen=True)
class KerasNetwork:
    """A network as Keras saved it.

    Attributes:
        layout: how its weights are laid out: "keras" (as in a .keras file) or "keras_h5".
        config: `{"class_name": ..., "config": ...}`, JSON.
        keras_version: of the Keras that wrote it; empty where the file does not say.
        weights: the group that holds them.
        notes: a line for each thing that was left out.
    """

    layout: str
    config: Any
    keras_version: str
    weights: Group
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Weights:
    """Arrays by their names in a file, without a network.

    Attributes:
        arrays: the arrays.
        notes: a line for each thing that was left out.
    """

    arrays: dict[str, Stored]
    notes: tuple[str, ...]
