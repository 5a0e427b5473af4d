"""A table of digests: which group a digest is in, and where in it.

It is a hash table with linear probing, worked on many digests at a time. Digests are random bits already, so their
first 64 are their hash; equal hashes are told apart by the digests themselves, which stay in their groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from frostline_zoo.examples.spec import Digests

Keys = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]

MIN_SLOTS = 1 << 12


@dataclass(frozen=True)
class _Held:
    """What the table holds at one moment. Entries are counted through all groups.

    Attributes:
        groups: the digests of each group.
        starts: the first entry of each group, and the number of all entries.
        keys: the key of each entry, and room for more.
        slots: an entry each, or -1 where none is; always twice as many as `keys` has room for.
    """

    groups: tuple[Digests, ...]
    starts: Rows
    keys: Keys
    slots: npt.NDArray[np.int32]


class DigestTable:
    """Finds digests. One thread may add while others look."""

    def __init__(self) -> None:
        self._held = _Held(
            (), np.zeros(1, np.int64), np.empty(MIN_SLOTS // 2, np.int64), np.full(MIN_SLOTS, -1, np.int32)
        )

    def __len__(self) -> int:
        return int(self._held.starts[-1])

    def add(self, digests: Digests) -> None:
        """Adds a group, (n, 32), which is not copied. Groups are counted from 0."""
        held, first = self._held, len(self)
        end = first + len(digests)
        keys, slots = held.keys, held.slots
        if end > len(keys):
            slots = np.full(1 << (4 * end - 1).bit_length(), -1, np.int32)
            keys = np.concatenate([keys[:first], np.empty(len(slots) // 2 - first, np.int64)])
            _put(slots, keys, np.arange(first, dtype=np.int32))
        keys[first:end] = _keys(digests)
        _put(slots, keys, np.arange(first, end, dtype=np.int32))
        self._held = _Held((*held.groups, digests), np.append(held.starts, end), keys, slots)

    def find(self, digests: Digests) -> tuple[Rows, Rows]:
        """Returns the group of each digest (n, 32), or -1, and its row in there: (n,) and (n,)."""
        held = self._held
        group, row = np.full(len(digests), -1, np.int64), np.zeros(len(digests), np.int64)
        mask = len(held.slots) - 1
        keys = _keys(digests)
        pending, at = np.arange(len(digests)), keys & mask
        while len(pending):
            entries = held.slots[at]
            is_taken = entries >= 0
            if not is_taken.all():
                pending, at, entries = pending[is_taken], at[is_taken], entries[is_taken]
            like = np.flatnonzero(held.keys[entries] == keys[pending])
            like = like[entries[like] < held.starts[-1]]  # not what was added since
            is_left = np.ones(len(pending), bool)
            if len(like):
                found = _located(held, entries[like])
                is_it = _are_equal(held.groups, *found, digests[pending[like]])
                hits = like[is_it]
                group[pending[hits]], row[pending[hits]] = found[0][is_it], found[1][is_it]
                is_left[hits] = False
            pending, at = pending[is_left], (at[is_left] + 1) & mask
        return group, row

    def missing(self, digests: Digests) -> Rows:
        """Returns which of the digests (n, 32) are not here, ascending."""
        return np.flatnonzero(self.find(digests)[0] < 0)


def by_group(group: Rows) -> list[tuple[int, Rows]]:
    """Returns each number in `group` (n,), ascending, with the places where it stands."""
    order = np.argsort(group, kind="stable")  # fast where neighbours are of one group, as in the order of a push
    ends = np.flatnonzero(np.diff(group[order])) + 1
    return [(int(group[places[0]]), places) for places in np.split(order, ends) if len(places)]


def _put(slots: npt.NDArray[np.int32], keys: Keys, entries: npt.NDArray[np.int32]) -> None:
    """Gives each entry the first free slot from its key on."""
    mask = len(slots) - 1
    at = keys[entries] & mask
    while len(entries):
        is_free = slots[at] < 0
        slots[at[is_free]] = entries[is_free]  # of several that want one slot, one gets it
        is_left = slots[at] != entries
        entries, at = entries[is_left], (at[is_left] + 1) & mask


def _located(held: _Held, entries: npt.NDArray[np.int32]) -> tuple[Rows, Rows]:
    group = np.searchsorted(held.starts, entries, "right") - 1
    return group, entries - held.starts[group]


def _are_equal(groups: tuple[Digests, ...], group: Rows, row: Rows, digests: Digests) -> npt.NDArray[np.bool_]:
    there = np.empty_like(digests)
    for number, chosen in by_group(group):
        there[chosen] = groups[number][row[chosen]]
    differences = there.view("<u8") ^ digests.view("<u8")
    is_equal: npt.NDArray[np.bool_] = (
        differences[:, 0] | differences[:, 1] | differences[:, 2] | differences[:, 3]
    ) == 0
    return is_equal


def _keys(digests: Digests) -> Keys:
    return np.ascontiguousarray(digests[:, :8]).view("<i8").reshape(-1)
