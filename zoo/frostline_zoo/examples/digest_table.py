"""A table of digests: which group a digest is in, and where in it.

Digests are random bits already, so their first 64 are their key. The table is all keys in ascending order, worked on
many digests at a time: what is added is merged into it, what is looked for is sorted first, so that neighbours are
looked up one after the other. Equal keys are told apart by the digests themselves, which stay in their groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from frostline_zoo.examples.spec import DIGEST_BYTES, Digests

Keys = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

MIN_RUN, MAX_RUN = 64, 4096


@dataclass(frozen=True)
class _Held:
    """What the table holds at one moment. Entries are counted through all groups.

    Attributes:
        groups: the digests of each group.
        starts: the first entry of each group, and the number of all entries.
        keys: the key of every entry, ascending.
        entries: the entry that each key is of.
    """

    groups: tuple[Digests, ...]
    starts: Rows
    keys: Keys
    entries: Rows


class DigestTable:
    """Finds digests. One thread may add while others look."""

    def __init__(self) -> None:
        self._held = _Held((), np.zeros(1, np.int64), np.empty(0, np.uint64), np.empty(0, np.int64))

    def __len__(self) -> int:
        return int(self._held.starts[-1])

    def add(self, groups: Sequence[Digests]) -> None:
        """Adds groups, each (n, 32), which are not copied. They are counted from 0. Many at once cost what one does."""
        held = self._held
        ends = len(self) + np.cumsum([len(group) for group in groups], dtype=np.int64)
        keys = np.concatenate([np.empty(0, np.uint64), *map(key_of, groups)])
        order = np.argsort(keys)
        keys = keys[order]
        at = np.searchsorted(held.keys, keys)
        self._held = _Held(
            (*held.groups, *groups),
            np.append(held.starts, ends),
            np.insert(held.keys, at, keys),
            np.insert(held.entries, at, len(self) + order),
        )

    def find(self, digests: Digests) -> tuple[Rows, Rows]:
        """Returns the group of each digest (n, 32), or -1, and its row in there: (n,) and (n,)."""
        held = self._held
        group, row = np.full(len(digests), -1, np.int64), np.zeros(len(digests), np.int64)
        first = 0
        while first < len(digests):  # a list names most digests in the order in which they were added
            _look_up(held, digests, group, row, np.arange(first, first + 1))
            run = 0 if group[first] < 0 else _run(held.groups[group[first]][row[first] :], digests[first:])
            if run < MIN_RUN:
                _look_up(held, digests, group, row, np.arange(first, len(digests)))
                break
            group[first : first + run], row[first : first + run] = group[first], row[first] + np.arange(run)
            first += run
        return group, row

    def missing(self, digests: Digests) -> Rows:
        """Returns which of the digests (n, 32) are not here, ascending."""
        return np.flatnonzero(self.find(digests)[0] < 0)


def key_of(digests: Digests) -> Keys:
    """Returns the keys of digests (n, 32): (n,). Equal digests have equal keys."""
    return np.ascontiguousarray(digests).view("<u8")[:, 0]


def by_group(group: Rows) -> list[tuple[int, Rows]]:
    """Returns each number in `group` (n,), ascending, with the places where it stands."""
    order = np.argsort(group, kind="stable")  # fast where neighbours are of one group, as in the order of a push
    ends = np.flatnonzero(np.diff(group[order])) + 1
    return [(int(group[places[0]]), places) for places in np.split(order, ends) if len(places)]


def _look_up(held: _Held, digests: Digests, group: Rows, row: Rows, pending: Rows) -> None:
    """Looks up the digests at the places `pending`, and fills in group and row of those that are here."""
    wanted = key_of(digests[pending])
    order = np.argsort(wanted)
    pending, wanted = pending[order], wanted[order]
    at = np.searchsorted(held.keys, wanted)
    while len(pending):
        is_alike = at < len(held.keys)
        is_alike[is_alike] = held.keys[at[is_alike]] == wanted[is_alike]
        pending, wanted, at = pending[is_alike], wanted[is_alike], at[is_alike]
        found = _located(held, held.entries[at])
        is_it = _are_equal(held.groups, *found, np.take(digests, pending, axis=0))
        group[pending[is_it]], row[pending[is_it]] = found[0][is_it], found[1][is_it]
        pending, wanted, at = pending[~is_it], wanted[~is_it], at[~is_it] + 1


def _run(there: Digests, digests: Digests) -> int:
    """Returns how many of the digests from the first on are those that stand there, as far as it looks."""
    count = min(len(there), len(digests), MAX_RUN)
    is_equal = (there[:count] == digests[:count]).all(axis=1)
    return count if is_equal.all() else int(is_equal.argmin())


def _located(held: _Held, entries: Rows) -> tuple[Rows, Rows]:
    group = np.searchsorted(held.starts, entries, "right") - 1
    return group, entries - held.starts[group]


def _are_equal(groups: tuple[Digests, ...], group: Rows, row: Rows, digests: Digests) -> npt.NDArray[np.bool_]:
    is_equal = np.empty(len(digests), bool)
    for number, chosen in by_group(group):
        there, wanted = np.take(groups[number], row[chosen], axis=0), np.take(digests, chosen, axis=0)
        is_equal[chosen] = (there.view(f"V{DIGEST_BYTES}") == wanted.view(f"V{DIGEST_BYTES}"))[:, 0]
    return is_equal
