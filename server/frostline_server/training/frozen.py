"""The frozen part of a network: how its tensors are known in the store, and the programs that compute them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from frostline_server.engine.folding import folded, folded_layers
from frostline_server.engine.forward import compiled_forward, forward_batch_size
from frostline_server.engine.views import compiled_views, view_seeds
from frostline_server.features.cut_tensor import CutTensor
from frostline_server.features.features import Features
from frostline_server.features.sources import ExampleRows, Listener, Trunk
from frostline_server.features.store import FeatureStore
from frostline_server.training.programs import Programs
from frostline_zoo.examples.dataset import Examples
from frostline_zoo.examples.finite import check_finite
from frostline_zoo.graph import Cut, calls_in_order
from frostline_zoo.identity import trunk_digests, view_digests
from frostline_zoo.indices import EXACT, indices_of
from frostline_zoo.manifest import TensorRef
from frostline_zoo.networks.build import Network, replay, single

Array = npt.NDArray[Any]
Frontier = tuple[TensorRef, ...]
Forward = Callable[[Sequence[Array]], list[Array]]
Drawing = Callable[[Sequence[Array], Array], list[Array]]


@dataclass(frozen=True)
class Part:
    """Examples of one dataset: which of them, and their targets."""

    examples: Examples
    places: Array
    targets: Array

    def __len__(self) -> int:
        return len(self.places)


@dataclass(frozen=True)
class Level:
    """A cut whose rows a stage keeps or computes: rounded to `dtype`, and stored where it `is_stored`."""

    frontier: Frontier
    dtype: str
    is_stored: bool


class Frozen:
    """A network as features see it: nothing of it trains."""

    def __init__(self, network: Network, programs: Programs) -> None:
        self.network = network
        self.manifest = network.manifest
        self._programs = programs

    @cached_property
    def digests(self) -> dict[TensorRef, str]:
        """What every tensor is known by, for view 0."""
        return trunk_digests(self.manifest)

    @cached_property
    def view_digests(self) -> dict[TensorRef, str]:
        """What every tensor is known by, for the other views."""
        return view_digests(self.manifest)

    def tensors(self, level: Level, *, is_image: bool, with_views: bool) -> tuple[CutTensor, ...]:
        """Returns a level's tensors as the store knows them."""
        return tuple(self._tensor(ref, level, is_image, with_views) for ref in level.frontier)

    def features(
        self, part: Part, levels: Sequence[Level], store: FeatureStore, listener: Listener, *, with_views: bool
    ) -> Features:
        """Opens the features of a part's examples at the last of the levels, which stand on one another.

        Args:
            part: the examples.
            levels: from the lowest cut up.
            store: where rows of the levels that say so are kept.
            listener: told how filling goes.
            with_views: random image layers draw, as the view says.
        """
        rows = PartRows(part, self.network)
        below: Features | None = None
        sources: Frontier | None = None
        makers: list[Any] = []
        for level in levels:
            tensors = self.tensors(level, is_image=part.examples.spec.is_image, with_views=with_views)
            stored = store if level.is_stored else None
            is_there = level.frontier == sources or all(self.is_input(ref) for ref in level.frontier)
            make = None if is_there else self._maker(sources, level.frontier, with_views)
            makers.append(make)
            joint = None
            if level is levels[-1] and len(levels) > 1 and all(makers):
                joint = self._maker(None, tuple(ref for each in levels for ref in each.frontier), with_views)
            below, sources = Features(tensors, rows, below, make, stored, listener, joint), level.frontier
        assert below is not None
        return below

    def trunk(self, targets: Frontier) -> CompiledTrunk:
        """Returns the trunk from the network's inputs to some tensors."""
        trunk: CompiledTrunk = self._maker(None, targets, False)()
        return trunk

    def is_input(self, ref: TensorRef) -> bool:
        """Whether a tensor is an input of the network."""
        return _is_input(self.network, ref)

    def reaches(self, sources: Collection[TensorRef], targets: Collection[TensorRef]) -> bool:
        """Returns whether the targets follow from the sources alone, and are the same as from the examples.

        They are not where a source stands between a layer and the normalization that is folded into it: they would
        differ by rounding, and what a job learns would depend on which rows others had left.
        """
        if any(ref.layer in self._folded for ref in sources):
            return False
        wanted = tuple(ref for ref in targets if ref not in sources)
        if any(self.is_input(ref) for ref in wanted):
            return False
        layers = {layer.name: layer for layer in self.manifest.layers}
        needed = {
            ref
            for name, index in calls_in_order(replace(self.manifest, outputs=wanted), sources)
            for ref in layers[name].calls[index].tensors()
        }
        return not any(self.is_input(ref) and ref not in sources for ref in needed)

    @cached_property
    def _folded(self) -> set[str]:
        return folded_layers(self.network.model)

    def is_sized(self, frontier: Frontier) -> bool:
        """Whether rows of some tensors have a size: the network leaves none of their sides free."""
        return all(None not in self.network.tensors[ref].shape[1:] for ref in frontier)

    def row_bytes(self, frontier: Frontier, dtype: str = "float32") -> int:
        """Returns the size of one row of some tensors, in bytes, where floats are kept as `dtype`."""
        return row_bytes(self.network, frontier, dtype)

    def _tensor(self, ref: TensorRef, level: Level, is_image: bool, with_views: bool) -> CutTensor:
        varies = with_views and self.view_digests[ref] != self.digests[ref]
        # Examples are stored as they were pushed; as inputs they are worth keeping only where they were decoded.
        is_kept = not self.is_input(ref) or (is_image and len(level.frontier) == 1)
        digest = self.view_digests[ref] if varies else self.digests[ref]
        return replace(_kept(self.network, ref, level.dtype), digest=digest if is_kept else None, varies=varies)

    def _maker(self, sources: Frontier | None, targets: Frontier, with_views: bool) -> Any:
        known = self.view_digests if with_views else self.digests
        key = (tuple(known[ref] for ref in sources) if sources else None, tuple(known[ref] for ref in targets))
        with_views = with_views and any(self.view_digests[ref] != self.digests[ref] for ref in targets)
        return lambda: self._programs.trunk_of((key, with_views), lambda: self._trunk(sources, targets, with_views))

    def _trunk(self, sources: Frontier | None, targets: Frontier, with_views: bool) -> CompiledTrunk:
        outputs = single([self.network.tensors[ref] for ref in targets])
        whole = keras.Model(self.network.model.inputs, outputs)
        if sources is None:
            return CompiledTrunk(whole, with_views)
        tensors: dict[TensorRef, Any] = {}
        for ref in sources:
            source = self.network.tensors[ref]
            tensors[ref] = keras.Input(batch_shape=(None, *source.shape[1:]), dtype=source.dtype)
        entering = list(tensors.values())
        calls = calls_in_order(replace(self.manifest, outputs=targets), sources)
        replay(self.manifest, calls, self.network.layers, tensors)
        part = keras.Model(single(entering), single([tensors[ref] for ref in targets]))
        return CompiledTrunk(part, with_views, forward_batch_size(whole))


def row_bytes(network: Network, frontier: Frontier, dtype: str) -> int:
    """Returns the size of one row of some tensors, in bytes, where floats are kept as `dtype`."""
    return sum(_kept(network, ref, dtype).row_bytes for ref in frontier)


def _kept(network: Network, ref: TensorRef, dtype: str) -> CutTensor:
    """Returns how rows of a tensor are kept, without the digest that they are kept by."""
    tensor = network.tensors[ref]
    own = str(tensor.dtype)
    kept = dtype if own.startswith(("float", "bfloat")) and not _is_input(network, ref) else own
    return CutTensor(ref.layer, None, tuple(tensor.shape[1:]), own, kept)


def _is_input(network: Network, ref: TensorRef) -> bool:
    return ref.layer in {entry.name for entry in network.manifest.inputs}


class CompiledTrunk(Trunk):
    """Part of a frozen network, compiled at its one batch size when rows first go through it. Threads may share one."""

    def __init__(self, model: keras.Model, with_views: bool, batch_size: int = 0) -> None:
        """Takes the part, and the batch size of the whole trunk where the part begins at a lower cut; 0: its own."""
        self.layers = model.layers  # those that are folded into others too: to train one changes what this computes
        self.batch_size = batch_size or forward_batch_size(model)
        copied = folded_layers(model)
        weights = [variable.value for layer in model.layers if layer.name in copied for variable in layer.weights]
        self.size_bytes = sum(int(np.prod(value.shape, dtype=int)) * value.dtype.size for value in weights)
        self._model = model
        self._with_views = with_views
        self._making = threading.Lock()

    def forward(self, rows: list[Array], digests: Array, view: int) -> list[Array]:
        """Returns the model's outputs for `batch_size` rows, whose examples `digests` (batch, 32) name."""
        with self._making:  # a cached property locks nothing itself from Python 3.12 on
            resting, drawing = self._programs
        if drawing is not None and view:
            return drawing(rows, view_seeds(digests, view))
        return resting(rows)

    @cached_property
    def _programs(self) -> tuple[Forward, Drawing | None]:
        running = folded(self._model)
        return compiled_forward(running), compiled_views(running) if self._with_views else None


class PartRows(ExampleRows):
    """A part's examples, as a network's input."""

    def __init__(self, part: Part, network: Network) -> None:
        self.digests = part.examples.digests[part.places]
        self._part = part
        self._preprocessing = network.manifest.preprocessing
        self._shape = tuple(network.model.inputs[0].shape[1:])
        self._dtype = str(network.model.inputs[0].dtype)
        self._indices = indices_of(network.manifest, network.manifest.inputs[0].name)

    def zeros(self, count: int) -> Array:
        """Returns rows of zeros, (count, *shape), a side that the network leaves free being that of the examples."""
        return np.zeros((count, *self._known_shape), self._dtype)

    @cached_property
    def row_bytes(self) -> int:
        """The size of one input."""
        return self.zeros(1).nbytes

    @cached_property
    def _known_shape(self) -> tuple[int, ...]:
        return self._shape if None not in self._shape else self.inputs(np.arange(1)).shape[1:]

    def inputs(self, places: Array) -> Array:
        """Returns the examples at `places`, (k,) -> (k, *shape): decoded, resized and scaled.

        Raises:
            InvalidError: the network looks them up in an Embedding, and they are not indices of its rows; a value is
                too large for the input's dtype.
        """
        chosen = self._part.places[places]
        if self._indices is None:
            rows = self._part.examples.inputs(chosen, self._shape, self._dtype, self._preprocessing)
            if not self._part.examples.spec.is_image and self._part.examples.spec.numpy_dtype.itemsize > 1:
                check_finite(rows, chosen, f"a value that is too large for {self._dtype}, the network's input")
            return rows
        rows = self._part.examples.inputs(chosen, self._shape, EXACT, self._preprocessing)
        return self._indices.checked(rows, chosen, self._dtype)


def chain_of(frozen: Frozen, cuts: Sequence[Cut], cut: Cut) -> list[Cut]:
    """Returns those of `cuts` that `cut` can be computed from, one from the other, from the lowest up to `cut`."""
    chain: list[Cut] = []
    for lower in sorted({*cuts} - {cut}, key=lambda each: len(each.frozen)):
        fits = lower.frozen < cut.frozen and frozen.reaches(lower.frontier, cut.frontier)
        if fits and (not chain or frozen.reaches(chain[-1].frontier, lower.frontier)):
            chain.append(lower)
    return [*chain, cut]
