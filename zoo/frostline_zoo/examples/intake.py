"""Taking in the contents of one push: digests made, what is known dropped, what is unfit refused, shards filled.

intake = Intake(spec, index)
for data, sizes in messages:
    if batch := intake.add(data, sizes): ...      a shard is full: make it durable, then answer
batch = intake.rest()
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate, chain, pairwise
from typing import Any

import numpy as np
from typing_extensions import Buffer

from frostline_zoo.errors import InvalidError
from frostline_zoo.examples import images
from frostline_zoo.examples.index import ExampleIndex
from frostline_zoo.examples.shards import SHARD_BYTES, Rows, shard_pieces
from frostline_zoo.examples.spec import DIGEST_BYTES, Digests, ExampleSpec, contents_digests, rows_digests

MAX_REMEMBERED = 1_000_000
"""How many digests a stream remembers, so that no content goes into two of the shards that are just being written."""

IMAGES_PER_TASK = 16

_THREADS = ThreadPoolExecutor(os.cpu_count(), "frostline-check")  # decoders let go of the interpreter's lock


@dataclass
class Batch:
    """What came with some messages: an answer for every example, and the new contents that it depends on.

    Attributes:
        first: the place in the stream of the first example.
        answers: the digests, (k, 32) in the stream's order; zeros for a refused one.
        refused: the places of refused ones in the stream, and why.
    """

    spec: ExampleSpec
    first: int = 0
    answers: list[Digests] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    new: list[Digests] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    size_bytes: int = 0

    def new_count(self) -> int:
        """Returns how many examples a shard has to be written for."""
        return sum(map(len, self.new))

    def shard(self) -> Iterator[Buffer]:
        """Yields the bytes of the shard that holds the new contents."""
        return shard_pieces(self.spec, np.concatenate(self.new), self.contents, self.sizes)


class Intake:
    """Sorts one stream of contents into batches of a shard each."""

    def __init__(self, spec: ExampleSpec, index: ExampleIndex, shard_bytes: int = SHARD_BYTES) -> None:
        self._spec = spec
        self._index = index
        self._shard_bytes = shard_bytes
        self._count = 0
        self._batch = Batch(spec)
        self._seen: set[bytes] = set()

    def add(self, data: bytes, sizes: Sequence[int]) -> Batch | None:
        """Takes whole contents, and returns a batch once that is worth a shard, or needs none.

        Args:
            data: contents, one after the other.
            sizes: for images, the size of each; empty for arrays.

        Raises:
            InvalidError: `data` does not hold whole examples.
        """
        if not data and not sizes:
            return None
        digests, refused = self._images(data, sizes) if self._spec.is_image else self._arrays(data, sizes)
        answers = digests.copy()
        answers[list(refused)] = 0
        self._batch.answers.append(answers)
        self._batch.refused.update((self._count + place, reason) for place, reason in refused.items())
        self._count += len(digests)
        if self._batch.contents and self._batch.size_bytes < self._shard_bytes:
            return None
        return self.rest()

    def rest(self) -> Batch:
        """Returns what has not been returned."""
        batch, self._batch = self._batch, Batch(self._spec, self._count)
        if len(self._seen) > MAX_REMEMBERED:  # by now the index knows all but the last shards
            self._seen = set()
        return batch

    def _arrays(self, data: bytes, sizes: Sequence[int]) -> tuple[Digests, dict[int, str]]:
        size = self._spec.content_bytes
        if sizes or len(data) % size:
            raise InvalidError(
                f"a message of {len(data)} bytes does not hold whole examples of {self._spec}: {size} bytes each"
            )
        refused = _unfit(self._spec, data)
        digests = rows_digests(self._spec, data)
        new = self._new(digests, self._index.missing(digests), refused)
        if len(new) == len(digests):
            self._keep(digests, data, [])
        elif len(new):
            self._keep(digests[new], np.frombuffer(data, np.uint8).reshape(-1, size)[new].tobytes(), [])
        return digests, refused

    def _images(self, data: bytes, sizes: Sequence[int]) -> tuple[Digests, dict[int, str]]:
        if sum(sizes) != len(data):
            message = f"a message of {len(data)} bytes says that its images have {sum(sizes)}"
            raise InvalidError(f"{message}: give each its size")
        files = [data[start:stop] for start, stop in pairwise(accumulate(sizes, initial=0))]
        digests = contents_digests(self._spec, files)
        missing = self._index.missing(digests)
        refused = _undecodable(files, missing.tolist())
        new = self._new(digests, missing, refused)
        if len(new) == len(digests):
            self._keep(digests, data, sizes)
        elif len(new):
            self._keep(digests[new], b"".join(files[place] for place in new), [sizes[place] for place in new])
        return digests, refused

    def _new(self, digests: Digests, missing: Rows, refused: dict[int, str]) -> Rows:
        """Returns those of the missing examples that are not refused, and that this stream has not brought before."""
        names: list[bytes] = digests.view(f"V{DIGEST_BYTES}")[missing, 0].tolist()
        if not refused and len(set(names)) == len(names) and self._seen.isdisjoint(names):  # as a rule
            self._seen.update(names)
            return missing
        new = []
        for place, name in zip(missing.tolist(), names, strict=True):
            if name not in self._seen and place not in refused:
                self._seen.add(name)
                new.append(place)
        return np.array(new, np.int64)

    def _keep(self, digests: Digests, data: bytes, sizes: Sequence[int]) -> None:
        self._batch.new.append(digests)
        self._batch.contents.append(data)
        self._batch.sizes += sizes
        self._batch.size_bytes += len(data)


def _undecodable(files: list[bytes], places: list[int]) -> dict[int, str]:
    """Returns which files are no whole images, and why."""
    doubtful = [place for place in places if not images.is_plain_png(files[place])]
    groups = [doubtful[start : start + IMAGES_PER_TASK] for start in range(0, len(doubtful), IMAGES_PER_TASK)]
    reasons = _THREADS.map(lambda group: [images.refusal(files[place]) for place in group], groups)
    return {place: reason for place, reason in zip(doubtful, chain.from_iterable(reasons), strict=True) if reason}


def _unfit(spec: ExampleSpec, data: bytes) -> dict[int, str]:
    """Returns which arrays hold a value that is no number, and where."""
    rows = np.frombuffer(data, spec.numpy_dtype).reshape(-1, *spec.shape)
    if spec.numpy_dtype.kind == "f":
        bad = ~np.isfinite(rows)
    elif spec.numpy_dtype.kind == "b":
        bad = rows.view(np.uint8) > 1
    else:
        return {}
    found = {}
    for place in np.flatnonzero(bad.reshape(len(rows), -1).any(1)).tolist():
        where = tuple(int(side) for side in np.argwhere(bad[place])[0])
        found[place] = f"has {_kind_of(rows[place][where])} at {','.join(map(str, where))}"
    return found


def _kind_of(value: Any) -> str:
    if value.dtype.kind == "b":
        return "neither true nor false"
    return "NaN" if np.isnan(value) else "infinity"
