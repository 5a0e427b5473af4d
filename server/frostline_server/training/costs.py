"""What things cost on this machine: a layer's forward pass, an example's way to an input, a byte's way to disk.

All of it is measured, on a few rows, when a plan needs it; what a network was measured to cost is kept by its digest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from frostline_server.features.sources import Trunk
from frostline_server.training.recent import Recent
from frostline_zoo.examples.spec import DIGEST_BYTES
from frostline_zoo.graph import CallRef, calls_in_order
from frostline_zoo.manifest import TensorRef
from frostline_zoo.networks.build import Network, replay

Array = npt.NDArray[Any]
Zeros = Callable[[int], Array]
"""Gives so many rows of zeros, as a network's input has them."""

_ROWS = 32
_PROBE_BYTES = 16 << 20
_KEPT = 8


@dataclass(frozen=True)
class DiskSpeed:
    """Bytes a second: written, read from the disk itself, and read from memory that the system keeps of it."""

    write: float
    cold_read: float
    warm_read: float


_UNUSABLE = DiskSpeed(1.0, 1.0, 1.0)


class Costs:
    """Measurements of this process, each made once."""

    def __init__(self) -> None:
        self._networks: Recent[dict[CallRef, float]] = Recent(_KEPT)
        self._trunks: Recent[float] = Recent(_KEPT)
        self._shares: Recent[float] = Recent(_KEPT)
        self._disks: dict[Path, DiskSpeed] = {}

    def forward(self, network: Network, zeros: Zeros) -> dict[CallRef, float]:
        """Returns the seconds that each call of a network takes a row.

        Layers run one by one, so the sum lies above what the compiled network takes; `compiled_share` says how far.
        """
        key = network.manifest.digest, zeros(1).shape
        return self._networks.get(key, lambda: _measured_calls(network, zeros))

    def compiled_share(self, network: Network, zeros: Zeros, measure: Callable[[], float] | None) -> float:
        """Returns what a network takes compiled, as a share of what its layers take one by one.

        `measure` says it of some of the network, the first time; without it the share is 1 as long as nobody has.
        """
        key = network.manifest.digest, zeros(1).shape
        return self._shares.get(key, measure) if measure else self._shares.known(key, 1.0)

    def trunk(self, key: Hashable, make: Callable[[], Trunk], zeros: Zeros) -> float:
        """Returns the seconds that a compiled trunk of a network takes a row; `key` names the trunk."""
        return self._trunks.get((key, zeros(1).shape), lambda: _measured_trunk(make(), zeros))

    def disk(self, folder: Path) -> DiskSpeed:
        """Returns how fast the disk under `folder` is."""
        if folder not in self._disks:
            self._disks[folder] = _measured_disk(folder)
        return self._disks[folder]

    def prepare(self, read_inputs: Callable[[Array], Array], count: int) -> float:
        """Returns the seconds that reading, decoding and scaling one of `count` examples takes."""
        places = np.linspace(0, count - 1, min(count, _ROWS)).astype(np.int64)
        read_inputs(places[:1])  # what the first one opens stays open
        few = min(_seconds(lambda: read_inputs(places[:1])) for _ in range(2))
        many = _seconds(lambda: read_inputs(places))
        return few if len(places) == 1 else max(many - few, 0.0) / (len(places) - 1)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _measured_trunk(trunk: Trunk, zeros: Zeros) -> float:
    rows = [zeros(trunk.batch_size)]
    digests = np.zeros((trunk.batch_size, DIGEST_BYTES), np.uint8)
    # The first one compiles it, which the job's own rows need not wait for then.
    return min(_seconds(lambda: trunk.forward(rows, digests, 0)) for _ in range(2)) / trunk.batch_size


def _measured_calls(network: Network, zeros: Zeros) -> dict[CallRef, float]:
    """One row shows what calling a layer costs, many rows what the layer costs; the difference is the rows' own."""
    many = _timed_calls(network, zeros(_ROWS))  # which also compiles kernels, so it is done once more
    few = _timed_calls(network, zeros(1))
    again = _timed_calls(network, zeros(_ROWS))
    return {call: max(min(many[call], again[call]) - few[call], 1e-9) / (_ROWS - 1) for call in many}


def _timed_calls(network: Network, rows: Array) -> dict[CallRef, float]:
    taken: dict[CallRef, float] = {}
    tensors: dict[TensorRef, Any] = {
        TensorRef(entry.name): keras.ops.convert_to_tensor(rows) for entry in network.manifest.inputs
    }
    for call in calls_in_order(network.manifest):
        started = time.perf_counter()
        replay(network.manifest, [call], network.layers, tensors)
        taken[call] = time.perf_counter() - started
    return taken


def _measured_disk(folder: Path) -> DiskSpeed:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _probed_disk(folder)
    except OSError:  # full, or not to be written: what is kept on it is as good as not kept
        return _UNUSABLE


def _probed_disk(folder: Path) -> DiskSpeed:
    content = np.random.default_rng(0).bytes(_PROBE_BYTES)
    with NamedTemporaryFile(dir=folder, prefix="probe-") as file:
        started = time.perf_counter()
        file.write(content)
        file.flush()
        os.fdatasync(file.fileno())
        write = _PROBE_BYTES / (time.perf_counter() - started)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        cold = _read_speed(file.fileno())
        return DiskSpeed(write, cold, _read_speed(file.fileno()))


def _read_speed(handle: int) -> float:
    started = time.perf_counter()
    os.pread(handle, _PROBE_BYTES, 0)
    return _PROBE_BYTES / (time.perf_counter() - started)
