"""A table of digests: which group a digest is in, and where in it.

It is a hash table with linear probing, worked on many digests at a time. Digests are random bits already, so their
first 64 are their key; equal keys are told apart by the digests themselves, which stay in their groups. A digest that
is not here, as all of a first push, is told from one look at the keys: no key is 0, and a slot of key 0 is free.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from frostline_zoo.examples.spec import Digests

Keys = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

MIN_SLOTS = 1 << 12


@dataclass(frozen=True)
class _Held:
    """What the table holds at one moment. Entries are counted through all groups.

    Attributes:
        groups: the digests of each group.
        starts: the first entry of each group, and the number of all entries.
        keys: the key in each slot, a power of two of them, at least two for each entry.
        entries: the entry in each slot, where one is.
    """

    groups: tuple[Digests, ...]
    starts: Rows
    keys: Keys
    entries: npt.NDArray[np.int32]


class DigestTable:
    """Finds digests. One thread may add while others look."""

    def __init__(self) -> None:
        self._held = _Held((), np.zeros(1, np.int64), np.zeros(MIN_SLOTS, np.uint64), np.empty(MIN_SLOTS, np.int32))

    def __len__(self) -> int:
        return int(self._held.starts[-1])

    def add(self, digests: Digests) -> None:
        """Adds a group, (n, 32), which is not copied. Groups are counted from 0."""
        held, first = self._held, len(self)
        groups, end = (*held.groups, digests), first + len(digests)
        keys, entries, added = held.keys, held.entries, groups[-1:]
        if 2 * end > len(keys):
            size = 1 << (2 * end).bit_length()
            keys, entries, added, first = np.zeros(size, np.uint64), np.empty(size, np.int32), groups, 0
        for group in added:
            _put(keys, entries, key_of(group), first)
            first += len(group)
        self._held = _Held(groups, np.append(held.starts, end), keys, entries)

    def find(self, digests: Digests) -> tuple[Rows, Rows]:
        """Returns the group of each digest (n, 32), or -1, and its row in there: (n,) and (n,)."""
        held = self._held
        group, row = np.full(len(digests), -1, np.int64), np.zeros(len(digests), np.int64)
        mask = len(held.keys) - 1
        pending, wanted = np.arange(len(digests)), key_of(digests)
        at = _home(wanted, mask)
        while len(pending):
            there = held.keys[at]
            is_left = there != 0
            alike = np.flatnonzero(there == wanted)
            alike = alike[held.entries[at[alike]] < held.starts[-1]]  # not what was added since
            if len(alike):
                found = _located(held, held.entries[at[alike]])
                is_it = _are_equal(held.groups, *found, np.take(digests, pending[alike], axis=0))
                hits = alike[is_it]
                group[pending[hits]], row[pending[hits]] = found[0][is_it], found[1][is_it]
                is_left[hits] = False
            left = np.flatnonzero(is_left)
            pending, wanted, at = pending[left], wanted[left], (at[left] + 1) & mask
        return group, row

    def missing(self, digests: Digests) -> Rows:
        """Returns which of the digests (n, 32) are not here, ascending."""
        return np.flatnonzero(self.find(digests)[0] < 0)


def key_of(digests: Digests) -> Keys:
    """Returns the keys of digests (n, 32): (n,), none of them 0. Equal digests have equal keys."""
    return digests.view("<u8")[:, 0] | np.uint64(1)


def by_group(group: Rows) -> list[tuple[int, Rows]]:
    """Returns each number in `group` (n,), ascending, with the places where it stands."""
    order = np.argsort(group, kind="stable")  # fast where neighbours are of one group, as in the order of a push
    ends = np.flatnonzero(np.diff(group[order])) + 1
    return [(int(group[places[0]]), places) for places in np.split(order, ends) if len(places)]


def _home(keys: Keys, mask: int) -> Rows:
    """Returns the slot at which to look for each key first. The lowest bit is the same in all."""
    return ((keys >> np.uint64(1)) & np.uint64(mask)).astype(np.int64)


def _put(keys: Keys, entries: npt.NDArray[np.int32], added: Keys, first: int) -> None:
    """Gives each of the keys `added`, whose entries are counted from `first`, the first free slot from its home on."""
    mask = len(keys) - 1
    numbers, at = np.arange(first, first + len(added), dtype=np.int32), _home(added, mask)
    while len(at):
        free = np.flatnonzero(keys[at] == 0)
        entries[at[free]] = numbers[free]  # of several that want one slot, one gets it
        won = free[entries[at[free]] == numbers[free]]
        keys[at[won]] = added[won]  # last, since it is what others look for
        is_left = np.ones(len(at), bool)
        is_left[won] = False
        left = np.flatnonzero(is_left)
        numbers, added, at = numbers[left], added[left], (at[left] + 1) & mask


def _located(held: _Held, entries: npt.NDArray[np.int32]) -> tuple[Rows, Rows]:
    group = np.searchsorted(held.starts, entries, "right") - 1
    return group, entries - held.starts[group]


def _are_equal(groups: tuple[Digests, ...], group: Rows, row: Rows, digests: Digests) -> npt.NDArray[np.bool_]:
    is_equal = np.empty(len(digests), bool)
    for number, chosen in by_group(group):
        there, wanted = np.take(groups[number], row[chosen], axis=0), np.take(digests, chosen, axis=0)
        differences = there.view("<u8") ^ wanted.view("<u8")
        is_equal[chosen] = (differences[:, 0] | differences[:, 1] | differences[:, 2] | differences[:, 3]) == 0
    return is_equal
