"""Shards: the contents of many examples in one blob, which is a canonical safetensors file.

    arrays   digests uint8 (n, 32)
             rows (n, *shape) of the spec's dtype
    images   digests uint8 (n, 32)
             offsets uint64 (n + 1)
             bytes uint8 (total): file i is bytes[offsets[i]:offsets[i + 1]]

A shard is written from pieces that are in memory already and read through a map, so neither copies it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

from frostline_zoo.errors import CorruptError
from frostline_zoo.examples.spec import DIGEST_BYTES, Digests, ExampleSpec
from frostline_zoo.tensors import NAMES, map_tensors, tensors_header

SHARD_BYTES = 16 << 20
"""How much content a shard holds before the next one is begun.

While one is hashed and synced, the next is received. A broken connection has to send again at most this much.
"""

Rows = npt.NDArray[np.int64]


def shard_pieces(
    spec: ExampleSpec, digests: Digests, contents: Sequence[Buffer], sizes: Sequence[int]
) -> Iterator[Buffer]:
    """Yields the bytes of the shard that holds `contents`.

    Args:
        digests: the examples' digests, (n, 32).
        contents: their contents in order; a piece may hold several.
        sizes: for images, the size of each; ignored for arrays.
    """
    count = len(digests)
    if spec.is_image:
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype("<u8")
        total = int(offsets[-1])
        yield tensors_header(
            [("offsets", "U64", (count + 1,)), ("bytes", "U8", (total,)), ("digests", "U8", digests.shape)]
        )
        yield offsets.tobytes()
        yield from contents
        yield digests.tobytes()
        return
    rows = ("rows", NAMES[spec.numpy_dtype], (count, *spec.shape))
    if spec.dtype in ("uint8", "bool"):  # safetensors puts wider dtypes first, then goes by name
        yield tensors_header([("digests", "U8", digests.shape), rows])
        yield digests.tobytes()
        yield from contents
    else:
        yield tensors_header([rows, ("digests", "U8", digests.shape)])
        yield from contents
        yield digests.tobytes()


class Shard:
    """One stored shard, mapped. Nothing here checks contents against their digests; whoever uses them does."""

    def __init__(self, path: Path, digest: str, spec: ExampleSpec) -> None:
        """Maps the shard at `path`, whose blob is `digest`.

        Raises:
            CorruptError: it is not a shard of `spec`.
        """
        self.digest = digest
        self.spec = spec
        self._path = path
        tensors = map_tensors(path)
        try:
            self.digests: Digests = _checked(tensors["digests"], np.dtype(np.uint8), (DIGEST_BYTES,))
            if spec.is_image:
                self._offsets = np.array(_checked(tensors["offsets"], np.dtype("<u8"), ()), np.int64)
                self._bytes = _checked(tensors["bytes"], np.dtype(np.uint8), ())
                whole = len(self._offsets) == len(self) + 1
            else:
                self._rows = _checked(tensors["rows"], spec.numpy_dtype, spec.shape)
                whole = len(self._rows) == len(self)
        except KeyError as error:
            raise CorruptError(f"shard {digest} has changed on the server's disk", reason="SHARD_CORRUPT") from error
        if not whole:
            raise CorruptError(f"shard {digest} has changed on the server's disk", reason="SHARD_CORRUPT")

    def __len__(self) -> int:
        return len(self.digests)

    def is_there(self) -> bool:
        """Says whether the file has not been deleted or set aside."""
        return self._path.exists()

    def gather(self, rows: Rows) -> npt.NDArray[Any]:
        """Returns copies of arrays, (k, *shape)."""
        return self._rows[rows]

    def files(self, rows: Rows) -> list[bytes]:
        """Returns copies of image files."""
        starts, stops = self._offsets[rows].tolist(), self._offsets[rows + 1].tolist()
        return [self._bytes[max(start, 0) : max(stop, 0)].tobytes() for start, stop in zip(starts, stops, strict=True)]

    def sizes(self, rows: Rows) -> Rows:
        """Returns the sizes of contents, in bytes."""
        if self.spec.is_image:
            return self._offsets[rows + 1] - self._offsets[rows]
        return np.full(len(rows), self.spec.content_bytes, np.int64)


def _checked(array: npt.NDArray[Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if array.dtype != dtype or array.shape[1:] != shape or array.ndim == 0:
        raise KeyError
    return array
