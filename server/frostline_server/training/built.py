"""Networks that were built lately: the next job on one of them builds upon it, instead of making each layer again."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from frostline_server.training.recent import Recent
from frostline_zoo.manifest import Manifest

if TYPE_CHECKING:  # the server holds one of these too, and does without Keras
    from frostline_zoo.networks.build import Network

_KEPT = 4
_KEPT_BYTES = 1 << 30


class Built:
    """The last few networks of this process, as their manifests say they are. One thread uses it."""

    def __init__(self) -> None:
        self._kept: Recent[_Held] = Recent(_KEPT, _KEPT_BYTES, lambda held: held.size_bytes)

    def network_of(
        self, manifest: Manifest, read_blob: Callable[[str], bytes], build: Callable[..., Network]
    ) -> Network:
        """Returns the network that a manifest describes, made with `build`. It is the caller's until the next call.

        Whoever trains some of its layers calls `forget` before.

        Raises:
            InvalidError, CorruptError, ExhaustedError: as `build`.
        """
        held = self._kept.take(manifest.digest)
        if held is None:
            held = _Held(build(manifest, read_blob))
        else:
            for blob in manifest.blobs():  # one that has changed on disk is found now, not by whoever pulls the result
                read_blob(blob)
            held.restore()
        self._kept.put(manifest.digest, held)
        return replace(held.network, layers=dict(held.network.layers), tensors=dict(held.network.tensors))

    def forget(self, layers: Collection[Any]) -> None:
        """Lets go of the networks that have one of the layers, since it is going to change."""
        changing = {id(layer) for layer in layers}
        self._kept.drop(lambda held: any(id(layer) in changing for layer in held.network.layers.values()))


class _Held:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.size_bytes = sum(
            math.prod(parameter.shape) * np.dtype(parameter.dtype).itemsize
            for layer in network.manifest.layers
            for parameter in layer.parameters
        )
        inputs = [tensor._keras_history.operation for tensor in network.model.inputs]
        self._own_nodes = [
            (nodes, len(nodes)) for operation in [*inputs, *network.layers.values()] for nodes in _nodes_of(operation)
        ]

    def restore(self) -> None:
        """Takes off what was built upon the network, which its layers would otherwise hold for as long as they live."""
        for nodes, count in self._own_nodes:
            del nodes[count:]
        for layer in self.network.manifest.layers:
            self.network.layers[layer.name].trainable = layer.trainable


def _nodes_of(operation: Any) -> tuple[list[Any], list[Any]]:
    """Returns a layer's calls and the calls of others on what it puts out, as Keras keeps them."""
    return operation._inbound_nodes, operation._outbound_nodes
