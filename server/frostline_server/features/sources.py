"""What features are made of, the examples and the trunk that computes their rows, and who hears how that goes."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Trunk(Protocol):
    """A compiled way from the tensors of a lower cut, or the input, up to those of a cut.

    Attributes:
        batch_size: how many rows `forward` takes.
    """

    batch_size: int

    def forward(self, rows: list[Array], digests: Array, view: int) -> list[Array]:
        """Returns the cut's tensors for `batch_size` rows: `digests` (batch, 32) name the examples."""
        ...


class ExampleRows(Protocol):
    """The examples that features are of.

    Attributes:
        digests: (n, 32), which name them.
        row_bytes: the size of one as the network's input.
    """

    digests: npt.NDArray[np.uint8]

    @property
    def row_bytes(self) -> int: ...

    def inputs(self, places: Array) -> Array:
        """Returns the network's input for the examples at `places`: (k,) -> (k, *shape)."""
        ...


class Listener(Protocol):
    """Who is told how filling goes. Each call may raise, to stop; what was computed until then is kept."""

    def filled(self, rows: int, computed: int) -> None:
        """`rows` more are there, `computed` of them by the trunk."""
        ...

    def note(self, text: str) -> None:
        """Something that people should know."""
        ...
