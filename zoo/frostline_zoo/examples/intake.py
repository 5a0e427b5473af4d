"""Taking in the contents of one push: digests made, what is known dropped, what is unfit refused, shards filled.

intake = Intake(spec, index, hasher)
for data, sizes in messages:
    if batch := intake.add(data, sizes): ...      a shard is full: make it durable, then answer
batch = intake.rest()
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, compress, pairwise

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

from frostline_zoo.errors import InvalidError
from frostline_zoo.examples.digest_table import key_of
from frostline_zoo.examples.fitness import undecodable, unfit
from frostline_zoo.examples.index import ExampleIndex
from frostline_zoo.examples.row_hasher import RowHasher
from frostline_zoo.examples.shards import SHARD_BYTES, Rows, shard_pieces
from frostline_zoo.examples.spec import DIGEST_BYTES, Digests, ExampleSpec, contents_digests

MAX_REMEMBERED = 1_000_000
"""How many digests a stream remembers, so that no content goes into two of the shards that are just being written."""

_NONE: Digests = np.empty((0, DIGEST_BYTES), np.uint8)


@dataclass(frozen=True)
class Batch:
    """What came with some messages: an answer for every example, and the new contents that it depends on.

    Attributes:
        first: the place in the stream of the first example.
        answers: the digests, (k, 32) in the stream's order; zeros for a refused one.
        refused: the places of refused ones in the stream, and why.
        new: the digests of the new contents, (n, 32).
        contents: the new contents in that order; a piece may hold several.
        sizes: for images, the size of each new content; empty for arrays.
    """

    spec: ExampleSpec
    first: int
    answers: Digests
    refused: dict[int, str]
    new: Digests
    contents: list[Buffer]
    sizes: list[int]

    @property
    def size_bytes(self) -> int:
        """The size of the new contents."""
        return sum(memoryview(piece).nbytes for piece in self.contents)

    def shard(self) -> Iterator[Buffer]:
        """Yields the bytes of the shard that holds the new contents."""
        return shard_pieces(self.spec, self.new, self.contents, self.sizes)


@dataclass(frozen=True)
class _Message:
    """Contents as they came: for images the size of each, for arrays none; and their digests."""

    data: bytes | memoryview
    sizes: Sequence[int]
    digests: Digests


class Intake:
    """Sorts one stream of contents, which are of one spec, into batches, none larger than a shard and a message."""

    def __init__(
        self, spec: ExampleSpec, index: ExampleIndex, hasher: RowHasher, shard_bytes: int = SHARD_BYTES
    ) -> None:
        self.spec = spec
        self._index = index
        self._hasher = hasher
        self._shard_bytes = shard_bytes
        self._count = 0
        self._messages: list[_Message] = []
        self._size = 0
        self._seen: list[Digests] = []

    def add(self, data: bytes | memoryview, sizes: Sequence[int]) -> Batch | None:
        """Takes whole contents, and returns a batch once enough have come.

        Args:
            data: contents, one after the other.
            sizes: for images, the size of each; empty for arrays.

        Raises:
            InvalidError: `data` does not hold whole examples.
        """
        if not data and not sizes:
            return None
        self._check(data, sizes)
        digests = contents_digests(self.spec, _files(data, sizes)) if sizes else self._hasher.digests(self.spec, data)
        self._messages.append(_Message(data, sizes, digests))
        self._size += len(data)
        return self.rest() if self._size >= self._shard_bytes else None

    def rest(self) -> Batch:
        """Returns what has not been returned."""
        messages, self._messages, self._size = self._messages, [], 0
        first, answers = self._count, np.concatenate([_NONE, *(message.digests for message in messages)])
        self._count += len(answers)
        is_new = np.zeros(len(answers), bool)
        is_new[self._index.missing(answers)] = True
        refused: dict[int, str] = {}
        start = 0
        for message in messages:
            count = len(message.digests)
            found = self._refused(message, np.flatnonzero(is_new[start : start + count]).tolist())
            refused.update((start + place, reason) for place, reason in found.items())
            start += count
        is_new[list(refused)] = False
        candidates = np.flatnonzero(is_new)  # what is refused is so wherever it stands, not only where it is first
        is_new[:] = False
        is_new[candidates[first_of_each(np.take(answers, candidates, axis=0), self._seen)]] = True
        new = np.take(answers, np.flatnonzero(is_new), axis=0)
        self._remember(new)
        contents, sizes = self._chosen(messages, is_new)
        answers[list(refused)] = 0
        reasons = {first + place: reason for place, reason in refused.items()}
        return Batch(self.spec, first, answers, reasons, new, contents, sizes)

    def _check(self, data: bytes | memoryview, sizes: Sequence[int]) -> None:
        size = self.spec.content_bytes
        if self.spec.is_image and sum(sizes) != len(data):
            message = f"a message of {len(data)} bytes says that its images have {sum(sizes)}"
            raise InvalidError(f"{message}: give each its size")
        if not self.spec.is_image and (sizes or len(data) % size):
            raise InvalidError(
                f"a message of {len(data)} bytes does not hold whole examples of {self.spec}: {size} bytes each"
            )

    def _refused(self, message: _Message, missing: list[int]) -> dict[int, str]:
        """Returns which examples of a message are not fit to be stored, and why; images only where they are missing."""
        if self.spec.is_image:
            return undecodable(_files(message.data, message.sizes), missing) if missing else {}
        return unfit(self.spec, message.data)

    def _remember(self, digests: Digests) -> None:
        if sum(map(len, self._seen)) > MAX_REMEMBERED:
            self._index.refresh()  # after which it knows all but the last shards
            self._seen = []
        self._seen.append(digests)

    def _chosen(self, messages: list[_Message], is_new: npt.NDArray[np.bool_]) -> tuple[list[Buffer], list[int]]:
        """Returns the contents that are new, and their sizes where they are images."""
        contents: list[Buffer] = []
        sizes: list[int] = []
        start = 0
        for message in messages:
            chosen = is_new[start : start + len(message.digests)]
            start += len(chosen)
            if chosen.all():
                contents.append(message.data)
                sizes += message.sizes
            elif self.spec.is_image:
                contents += compress(_files(message.data, message.sizes), chosen)
                sizes += compress(message.sizes, chosen)
            else:
                rows = np.frombuffer(message.data, np.uint8).reshape(len(chosen), -1)
                contents.append(rows[chosen].tobytes())
        return contents, sizes


def first_of_each(digests: Digests, before: Sequence[Digests] = ()) -> Rows:
    """Returns where each of the digests (n, 32) that is not among those `before` stands for the first time, ascending.

    As a rule nothing is repeated, and to sort the keys shows it.
    """
    groups = [*before, digests]
    keys = np.concatenate([key_of(group) for group in groups])
    ordered = np.sort(keys)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(repeated):
        return np.arange(len(digests))
    suspects = np.flatnonzero(np.isin(keys, repeated))
    names = np.concatenate(groups)[suspects].view(f"V{DIGEST_BYTES}")[:, 0].tolist()
    first = dict(zip(reversed(names), reversed(suspects.tolist()), strict=True))
    is_first = np.ones(len(keys), bool)
    is_first[suspects] = False
    is_first[list(first.values())] = True
    return np.flatnonzero(is_first[len(keys) - len(digests) :])


def _files(data: bytes | memoryview, sizes: Sequence[int]) -> list[bytes]:
    return [bytes(data[start:stop]) for start, stop in pairwise(accumulate(sizes, initial=0))]
