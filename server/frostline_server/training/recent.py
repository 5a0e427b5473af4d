"""What was used lately, kept for the next time: the last few values by key, within a bound of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """The values that were put last. The newest always stays, whatever its size. One thread uses it."""

    def __init__(self, most: int, most_bytes: int | None = None, size_of: Callable[[V], int] = lambda value: 0) -> None:
        """Keeps at most `most` values, and as many as take `most_bytes` by `size_of`, which is asked again each time.

        None is no bound.
        """
        self._most = most
        self._most_bytes = most_bytes
        self._size_of = size_of
        self._values: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """Returns the value under `key`, made where it is not there."""
        value = self._values[key] if key in self._values else make()
        self.put(key, value)
        return value

    def known(self, key: Hashable, otherwise: V) -> V:
        """Returns the value under `key`, or `otherwise`; makes nothing, and changes nothing."""
        return self._values.get(key, otherwise)

    def take(self, key: Hashable) -> V | None:
        """Takes out the value under `key`, where there is one; whoever goes on with it puts it back."""
        return self._values.pop(key, None)

    def put(self, key: Hashable, value: V) -> None:
        """Keeps a value as the newest, and lets go of the oldest that are too many."""
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > 1 and (len(self._values) > self._most or self._is_too_large()):
            self._values.popitem(last=False)

    def drop(self, is_stale: Callable[[V], bool]) -> None:
        """Lets go of the values that are stale."""
        for key, value in list(self._values.items()):
            if is_stale(value):
                del self._values[key]

    def _is_too_large(self) -> bool:
        return self._most_bytes is not None and sum(map(self._size_of, self._values.values())) > self._most_bytes
