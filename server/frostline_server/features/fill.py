"""Filling: a trunk's features for some examples, from the store where they are there, from the trunk where not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import structlog

from frostline_server.features.segment import feature_keys
from frostline_server.features.store import FeatureStore, TrunkRows
from frostline_zoo.errors import CorruptError

Array = npt.NDArray[Any]

log = structlog.get_logger()

_FLUSH_BYTES = 64 << 20
_FLUSH_SECONDS = 5.0


class Trunk(Protocol):
    """What fills features: the frozen part of a network.

    Attributes:
        tensors: for each tensor of the frontier its trunk digest, row shape and dtype; the digest is None for a tensor
            that is an input of the network, which is not worth storing.
        batch_size: how many rows `forward` takes.
    """

    tensors: Sequence[tuple[str | None, tuple[int, ...], str]]
    batch_size: int

    def forward(self, inputs: Array) -> list[Array]:
        """Returns the frontier's tensors for `batch_size` rows of the network's input."""
        ...


@dataclass
class FeatureUse:
    """What became of the rows: `computed` by the trunk, `reused` from the store; `size_bytes` of both together."""

    computed: int = 0
    reused: int = 0
    size_bytes: int = 0


def fill(
    trunk: Trunk,
    digests: npt.NDArray[np.uint8],
    read_inputs: Callable[[Array], Array],
    store: FeatureStore | None,
    on_progress: Callable[[int, int], None],
) -> tuple[list[Array], FeatureUse]:
    """Returns the frontier's tensors for every example, and what became of the rows.

    Args:
        trunk: what computes them.
        digests: (n, 32), the examples' digests.
        read_inputs: places among the examples (k,) -> the network's input for them (k, *shape).
        store: where rows are kept; None computes all of them and keeps none.
        on_progress: called with rows done, and how many of them the trunk computed; may raise to stop, and what was
            computed until then is kept.
    """
    count = len(digests)
    features = [np.empty((count, *shape), dtype) for _, shape, dtype in trunk.tensors]
    use = FeatureUse(size_bytes=sum(array.nbytes for array in features))
    if all(digest is None for digest, _, _ in trunk.tensors):
        for array in features:
            array[:] = read_inputs(np.arange(count))
        use.size_bytes = 0
        return features, use
    stored: list[TrunkRows | None] = [
        store.open(digest, shape, dtype) if store and digest else None for digest, shape, dtype in trunk.tensors
    ]
    keys = feature_keys(digests)
    present = np.full(count, store is not None)
    for rows, array in zip(stored, features, strict=True):
        if rows:
            present &= rows.read(keys, array)
    missing = np.flatnonzero(~present)
    use.reused = count - len(missing)
    on_progress(use.reused, 0)
    _compute(trunk, missing, keys, read_inputs, stored, features, use, on_progress)
    for (digest, _, _), array in zip(trunk.tensors, features, strict=True):
        if digest is None:  # an input that the head uses too; the trunk gave it for the missing rows only
            there = np.flatnonzero(present)
            if len(there):
                array[there] = read_inputs(there)
    return features, use


def _compute(
    trunk: Trunk,
    missing: Array,
    keys: Array,
    read_inputs: Callable[[Array], Array],
    stored: list[TrunkRows | None],
    features: list[Array],
    use: FeatureUse,
    on_progress: Callable[[int, int], None],
) -> None:
    """Computes the rows at `missing` into `features`, and stores them now and then."""
    unsaved: list[Array] = []
    unsaved_bytes, saved_at = 0, time.monotonic()

    def save() -> None:
        nonlocal unsaved_bytes, saved_at
        if unsaved:
            places = np.concatenate(unsaved)
            try:
                for rows, array in zip(stored, features, strict=True):
                    if rows:
                        rows.append(keys[places], array[places])
            except (OSError, CorruptError):  # the rows are in memory; what is not stored is computed again some day
                log.warning("features could not be stored; the job goes on without", exc_info=True)
                stored[:] = [None] * len(stored)
        unsaved.clear()
        unsaved_bytes, saved_at = 0, time.monotonic()

    try:
        for places, inputs in _read_ahead(missing, trunk.batch_size, read_inputs):
            outputs = trunk.forward(inputs)
            for array, output in zip(features, outputs, strict=True):
                array[places] = output[: len(places)]
                unsaved_bytes += array[0].nbytes * len(places)
            unsaved.append(places)
            use.computed += len(places)
            if unsaved_bytes >= _FLUSH_BYTES or time.monotonic() - saved_at >= _FLUSH_SECONDS:
                save()
            on_progress(use.reused + use.computed, use.computed)
    finally:
        save()


def _read_ahead(
    missing: Array, batch_size: int, read_inputs: Callable[[Array], Array]
) -> Iterator[tuple[Array, Array]]:
    """Yields places and their inputs, the inputs filled up to whole batches; reads one batch ahead of the trunk."""

    def read(places: Array) -> Array:
        inputs = read_inputs(places)
        if len(inputs) < batch_size:
            inputs = np.concatenate([inputs, np.repeat(inputs[-1:], batch_size - len(inputs), axis=0)])
        return inputs

    batches = [missing[start : start + batch_size] for start in range(0, len(missing), batch_size)]
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader:
        ahead = [reader.submit(read, places) for places in batches[:2]]
        for number, places in enumerate(batches):
            inputs = ahead.pop(0).result()
            if number + 2 < len(batches):
                ahead.append(reader.submit(read, batches[number + 2]))
            yield places, inputs
