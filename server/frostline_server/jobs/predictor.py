"""Predictions: rows in, a network's or a layer's output out. The last few networks stay built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline_server.engine.folding import folded
from frostline_server.engine.forward import compiled_forward, forward_batch_size
from frostline_server.jobs.channel import Frame
from frostline_server.training.recent import Recent
from frostline_zoo.blobs.store import BlobStore
from frostline_zoo.errors import InvalidError, NotFoundError
from frostline_zoo.examples.dataset import as_inputs
from frostline_zoo.examples.finite import check_finite
from frostline_zoo.examples.spec import ExampleSpec
from frostline_zoo.graph import known_layer, subgraph
from frostline_zoo.indices import EXACT, Indices, indices_of
from frostline_zoo.manifest import Manifest
from frostline_zoo.networks.build import build
from frostline_zoo.preprocessing import Preprocessing

Array = npt.NDArray[Any]

_KEPT = 4


@dataclass(frozen=True)
class _Ready:
    """A network, compiled: `forward` takes `batch_size` rows of `shape` and `dtype`, which may have to be `indices`."""

    preprocessing: Preprocessing
    shape: tuple[int | None, ...]
    dtype: str
    batch_size: int
    forward: Callable[[list[Array]], list[Array]]
    indices: Indices | None


class Predictor:
    """Runs networks in inference mode."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._kept: Recent[_Ready] = Recent(_KEPT)

    def predict(self, data: bytes, version: str, layer: str, dtype: str, row_shape: list[int]) -> Frame:
        """Answers `Workbench.predict`, where the errors are listed."""
        rows = _rows(data, dtype, row_shape)
        ready = self._ready(version, layer)
        inputs = as_inputs(rows, ready.shape, EXACT if ready.indices else ready.dtype, ready.preprocessing)
        places = np.arange(len(inputs))
        if ready.indices is not None:
            inputs = ready.indices.checked(inputs, places, ready.dtype)
        check_finite(inputs, places, f"a value that is too large for {inputs.dtype}")
        parts = []
        for start in range(0, len(inputs), ready.batch_size):
            part = inputs[start : start + ready.batch_size]
            padding = np.repeat(part[-1:], ready.batch_size - len(part), axis=0)
            parts.append(ready.forward([np.concatenate([part, padding])])[0][: len(part)])
        output = np.ascontiguousarray(np.concatenate(parts))
        return Frame({"dtype": output.dtype.name, "row_shape": list(output.shape[1:])}, output.tobytes())

    def _ready(self, version: str, layer: str) -> _Ready:
        return self._kept.get((version, layer), lambda: self._build(version, layer))

    def _build(self, version: str, layer: str) -> _Ready:
        part = _part(Manifest.decode(self._blobs.get(version)), layer)
        if len(part.inputs) != 1:
            names = ", ".join(entry.name for entry in part.inputs)
            raise InvalidError(f"the network has several inputs ({names}): predict takes networks with one")
        model, entry = build(part, self._blobs.get).model, part.inputs[0]
        indices, size = indices_of(part, entry.name), forward_batch_size(model)
        return _Ready(part.preprocessing, entry.shape, entry.dtype, size, compiled_forward(folded(model)), indices)


def _part(network: Manifest, layer: str) -> Manifest:
    """Returns what makes the output of `layer`; without one the network, which must have a single output."""
    if not layer:
        if len(network.outputs) == 1:
            return network
        names = ", ".join(dict.fromkeys(ref.layer for ref in network.outputs))
        raise InvalidError(
            f"the network has several outputs, of the layers {names}: say which layer's you want",
            reason="SEVERAL_OUTPUTS",
        )
    try:
        known_layer(network, layer)
    except InvalidError as unknown:
        raise NotFoundError(unknown.message, reason=unknown.reason) from unknown
    return subgraph(network, layer)


def _rows(data: bytes, dtype: str, row_shape: list[int]) -> Array:
    spec = ExampleSpec.parse(f"array {dtype} {','.join(map(str, row_shape or [1]))}")
    if not data or len(data) % spec.content_bytes:
        raise InvalidError(f"{len(data)} bytes are not whole rows of {spec.content_bytes} bytes: send whole rows")
    rows = np.frombuffer(data, spec.numpy_dtype).reshape(-1, *spec.shape)
    check_finite(rows, np.arange(len(rows)), "NaN or infinity")
    return rows
