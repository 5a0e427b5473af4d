"""A table of digests: which group a digest is in, and where in it.

It is a hash table with open addressing, worked on many digests at a time. A slot is one word: the first bits of a
digest, and the number of its entry. Digests are random bits already, so those bits also say where the digest belongs;
where that slot is taken, the next free one is its. A slot is only ever filled, and all at once, so whoever looks
meanwhile finds a whole entry or none. Bits that are equal decide nothing: the digests do, which stay in their groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from frostline_zoo.examples.spec import DIGEST_BYTES, Digests

Words = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

MIN_IN_ORDER = 64
MIN_SLOTS = 1 << 20  # 8 MiB, so that half a million examples come without a pause
MAX_LOAD = 0.5
"""From a larger share of filled slots on, whoever looks for what is not there has to look through many."""

ENTRY_BITS = 32
ENTRY_MASK = np.uint64((1 << ENTRY_BITS) - 1)

_NONE: Words = np.empty(0, np.uint64)
_WORDS = DIGEST_BYTES // 8


@dataclass(frozen=True)
class _Held:
    """What the table holds at one moment. Entries are counted through all groups.

    Attributes:
        groups: the digests of each group.
        starts: the first entry of each group, and the number of all entries.
        slots: 0 where one is empty; else the first 32 bits of a digest, then the number of its entry, counted from 1.
            They may come to hold later entries than those of `groups`.
    """

    groups: tuple[Digests, ...]
    starts: Rows
    slots: Words


class DigestTable:
    """Finds digests. One thread may add while others look."""

    def __init__(self) -> None:
        self._held = _Held((), np.zeros(1, np.int64), np.zeros(MIN_SLOTS, np.uint64))

    def __len__(self) -> int:
        return int(self._held.starts[-1])

    def add(self, groups: Sequence[Digests]) -> None:
        """Adds groups, each (n, 32), which are not copied. They are counted from 0. The table has room for 2^32 - 1."""
        held = self._held
        first = len(self) + 1
        entries = np.arange(first, first + sum(map(len, groups)), dtype=np.uint64)
        words, slots = np.concatenate([*map(_marks, groups), _NONE]) | entries, held.slots
        starts = np.append(held.starts, len(self) + np.cumsum([len(group) for group in groups], dtype=np.int64))
        if starts[-1] > MAX_LOAD * len(slots):
            words = np.concatenate([slots[slots != 0], words])
            slots = np.zeros(1 << int(starts[-1] / MAX_LOAD).bit_length(), np.uint64)
        _fill(slots, words)
        self._held = _Held((*held.groups, *groups), starts, slots)

    def find(self, digests: Digests) -> tuple[Rows, Rows]:
        """Returns the group of each digest (n, 32), or -1, and its row in there: (n,) and (n,)."""
        held = self._held
        group, row = np.full(len(digests), -1, np.int64), np.zeros(len(digests), np.int64)
        first = 0
        while first < len(digests):  # a list names most digests in the order in which they were added
            (number,), (start,) = _look_up(held, digests[first : first + 1])
            count = 0 if number < 0 else _in_order(held.groups[number][start:], digests[first:])
            if count < MIN_IN_ORDER:
                group[first:], row[first:] = _look_up(held, digests[first:])
                break
            group[first : first + count], row[first : first + count] = number, start + np.arange(count)
            first += count
        return group, row

    def missing(self, digests: Digests) -> Rows:
        """Returns which of the digests (n, 32) are not here, ascending."""
        return np.flatnonzero(self.find(digests)[0] < 0)


def key_of(digests: Digests) -> Words:
    """Returns the keys of digests (n, 32): (n,). Equal digests have equal keys."""
    return _words(digests)[:, 0]


def by_group(group: Rows) -> list[tuple[int, Rows]]:
    """Returns each number in `group` (n,), ascending, with the places where it stands."""
    order = np.argsort(group, kind="stable")  # fast where neighbours are of one group, as in the order of a push
    ends = np.flatnonzero(np.diff(group[order])) + 1
    return [(int(group[places[0]]), places) for places in np.split(order, ends) if len(places)]


def _fill(slots: Words, words: Words) -> None:
    at = _homes(words, slots)
    while len(words):
        is_free = slots[at] == 0
        slots[at[is_free]] = words[is_free]
        is_left = slots[at] != words  # of several for one slot the last is in it
        words, at = words[is_left], _next(at[is_left], slots)


def _look_up(held: _Held, digests: Digests) -> tuple[Rows, Rows]:
    """Returns the group of each digest, or -1, and its row in there."""
    group, row = np.full(len(digests), -1, np.int64), np.zeros(len(digests), np.int64)
    pending, marks = np.arange(len(digests)), _marks(digests)
    at = _homes(marks, held.slots)
    while len(pending):
        words = held.slots[at]
        is_left = words != 0  # one that were here would stand before the first empty slot
        pending, marks, at, words = pending[is_left], marks[is_left], at[is_left], words[is_left]
        alike = np.flatnonzero((words ^ marks) <= ENTRY_MASK)
        if len(alike):
            entries = (words[alike] & ENTRY_MASK).astype(np.int64) - 1
            is_known = entries < held.starts[-1]
            alike = alike[is_known]
            found, places = _located(held, entries[is_known]), pending[alike]
            is_it = _are_equal(held.groups, *found, np.take(digests, places, axis=0))
            group[places[is_it]], row[places[is_it]] = found[0][is_it], found[1][is_it]
            is_left = np.ones(len(pending), bool)
            is_left[alike[is_it]] = False
            pending, marks, at = pending[is_left], marks[is_left], at[is_left]
        at = _next(at, held.slots)
    return group, row


def _in_order(there: Digests, digests: Digests) -> int:
    """Returns how many of the digests from the first on are those that stand there."""
    count = min(len(there), len(digests))
    differ = np.flatnonzero(_words(there[:count]).reshape(-1) != _words(digests[:count]).reshape(-1))
    return int(differ[0]) // _WORDS if len(differ) else count


def _words(digests: Digests) -> Words:
    return np.ascontiguousarray(digests).view("<u8")


def _marks(digests: Digests) -> Words:
    return key_of(digests) & ~ENTRY_MASK


def _homes(words: Words, slots: Words) -> Rows:
    return (words >> np.uint64(65 - len(slots).bit_length())).astype(np.int64)


def _next(at: Rows, slots: Words) -> Rows:
    return (at + 1) & (len(slots) - 1)


def _located(held: _Held, entries: Rows) -> tuple[Rows, Rows]:
    group = np.searchsorted(held.starts, entries, "right") - 1
    return group, entries - held.starts[group]


def _are_equal(groups: tuple[Digests, ...], group: Rows, row: Rows, digests: Digests) -> npt.NDArray[np.bool_]:
    is_equal = np.empty(len(digests), bool)
    for number, chosen in by_group(group):
        there, wanted = np.take(groups[number], row[chosen], axis=0), np.take(digests, chosen, axis=0)
        is_equal[chosen] = (there.view(f"V{DIGEST_BYTES}") == wanted.view(f"V{DIGEST_BYTES}"))[:, 0]
    return is_equal
