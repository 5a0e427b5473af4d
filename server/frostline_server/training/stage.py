"""A stage's examples, epoch after epoch: from memory where they fit, else streamed, read ahead of the training."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_server.engine.epoch import CompiledEpoch, Slice
from frostline_server.features.features import Features
from frostline_server.training.augmentation import Views

Array = npt.NDArray[Any]

_SLICE_BYTES = 32 << 20
_SLICE_STEPS = 16
_NICE = 19
_READERS = 2
_AHEAD = 3  # more than there are readers, so that none waits for the training to ask


class StageExamples:
    """The features and targets of a stage's training examples, and of its validation examples."""

    def __init__(
        self,
        train: tuple[Features, Array],
        held_out: tuple[Features, Array] | None,
        views: Views,
        *,
        in_memory: bool,
        stays: bool,
    ) -> None:
        """Takes open features with the targets of their examples.

        Args:
            train: of the training examples.
            held_out: of the validation examples.
            views: which view an epoch takes of the training examples.
            in_memory: all rows of an epoch are brought into memory before it.
            stays: and stay there, with the rows of all views.
        """
        self._parts = [train] + ([held_out] if held_out else [])
        self._views = views
        self._in_memory = in_memory
        self._stays = in_memory and stays
        self._ahead: list[ReadAhead] = []

    def fill(self) -> None:
        """Brings everything that stays into memory, and what is stored into the store."""
        count = self._views.count
        for number, (features, _) in enumerate(self._parts):
            views = range(1, count + 1) if count and not number else [0]
            features.fill(list(views), into_memory=self._stays)

    def run_epoch(
        self, program: CompiledEpoch, epoch: int, order: Array, between: Callable[[], None]
    ) -> dict[str, float]:
        """Trains on every example once, in `order`, and measures; returns the figures by their Keras names.

        `between` is called between the parts of a long epoch, and may raise to stop.
        """
        view = self._views.of_epoch(epoch)
        taken = [(view, order), *((0, np.arange(len(targets))) for _, targets in self._parts[1:])]
        if not self._in_memory:
            self._ahead = self._ahead or [ReadAhead(*part, program.batch_size) for part in self._parts]
            streams = [ahead.slices(order, view) for ahead, (view, order) in zip(self._ahead, taken, strict=True)]
            return program.in_slices(streams[0], streams[1] if len(streams) > 1 else None, between, stays=False)
        slices = []
        for (features, targets), (view, order) in zip(self._parts, taken, strict=True):
            if not self._stays:
                features.fill([view], into_memory=True)
            slices.append(Slice(features.in_memory(view), targets, order))
        train, held_out = slices[0], slices[1] if len(slices) > 1 else None
        try:
            sizes = [program.batch_size, program.test_batch_size]
            is_short = all(len(part.order) <= size * _SLICE_STEPS for part, size in zip(slices, sizes, strict=False))
            if program.is_quick or is_short:
                return program.at_once(train, held_out)
            cut_up = [_cut_up(part, size * _SLICE_STEPS) for part, size in zip(slices, sizes, strict=False)]
            return program.in_slices(cut_up[0], cut_up[1] if held_out else None, between, stays=True)
        finally:
            if not self._stays:
                program.release()
                for features, _ in self._parts:
                    features.forget()

    def close(self) -> None:
        """Lets go of memory and store."""
        for features, _ in self._parts:
            features.close()


def _cut_up(whole: Slice, size: int) -> Iterator[Slice]:
    for start in range(0, len(whole.order), size):
        yield Slice(whole.features, whole.labels, whole.order[start : start + size])


class ReadAhead:
    """Reads epochs of some examples in slices, each while the ones before are trained on."""

    def __init__(self, features: Features, targets: Array, batch_size: int) -> None:
        self._features = features
        self._targets = targets
        # Rows that are computed take whole batches of the trunk, which a smaller slice would fill up.
        rows = _SLICE_BYTES // max(1, features.row_bytes) if features.kept.is_written else features.chunk_rows
        steps = max(1, -(-rows // batch_size))
        self._size = batch_size * min(steps, -(-len(features) // batch_size))
        # The training is done with a slice before it asks for the next one, so its arrays are free again by then.
        self._ahead = _AHEAD if self._size * features.row_bytes <= _SLICE_BYTES else 1
        self._room = [features.room_for(self._size) for _ in range(self._ahead + 1)]

    def slices(self, order: Array, view: int) -> Iterator[Slice]:
        """Yields the slices of an epoch that takes the examples in `order`.

        A slice's examples stand in it in that order. Its arrays are the caller's until it asks for the next one.
        """
        self._features.kept.look_up(view)
        count = -(-len(order) // self._size)
        with ThreadPoolExecutor(_READERS, thread_name_prefix="read-ahead", initializer=_give_way) as threads:
            ahead = [threads.submit(self._read, number, order, view) for number in range(min(self._ahead, count))]
            try:
                for number in range(count):
                    part = ahead.pop(0).result()
                    if number + self._ahead < count:
                        ahead.append(threads.submit(self._read, number + self._ahead, order, view))
                    yield part
                self._features.flush()  # rows that were not there, or not whole, are there for the next epoch
            finally:
                for future in ahead:
                    future.cancel()

    def _read(self, number: int, order: Array, view: int) -> Slice:
        places = order[number * self._size : (number + 1) * self._size]
        room = self._room[number % len(self._room)]
        self._features.read_into([array[: len(places)] for array in room], places, view)
        targets = np.zeros((self._size, *self._targets.shape[1:]), self._targets.dtype)
        targets[: len(places)] = self._targets[places]
        return Slice(room, targets, np.arange(len(places)))  # all slices have one shape, the last one too


def _give_way() -> None:
    """Lets the training go before this thread where both could run: half a step's threads wait for the other half.

    What decodes images for this thread, and was started by it, gives way too.
    """
    if sys.platform == "linux":  # where a thread has a priority of its own
        me = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, me, max(_NICE, os.getpriority(os.PRIO_PROCESS, me)))
