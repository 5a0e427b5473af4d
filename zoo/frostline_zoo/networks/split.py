"""A network cut in two: the trunk, which is frozen and runs once an example, and the head, which trains.

head(trunk(x)) == network(x)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from frostline_zoo.graph import Cut, calls_in_order
from frostline_zoo.manifest import TensorRef
from frostline_zoo.networks.build import Network, replay, single

# Layers whose weights are no parameters of the network, only what its function is written with.
_NEVER_TRAIN = {"STFTSpectrogram"}


@dataclass(frozen=True)
class Split:
    """The two parts of a network. They hold the network's own layers: what one trains, the network has.

    One tensor is passed as itself, several as a list, as everywhere in Keras.

    Attributes:
        trunk: the network's inputs, all of them, in order -> the tensors of the frontier, in order. None where the
            frontier is inputs alone: then these inputs go into the head as they are.
        head: the tensors of the frontier, in order -> the network's outputs, in order.
    """

    trunk: Any | None
    head: Any


def thaw_above(network: Network, cut: Cut) -> None:
    """Lets the layers above a cut train, and no others."""
    for name, layer in network.layers.items():
        layer.trainable = name not in cut.frozen and type(layer).__name__ not in _NEVER_TRAIN


def split(network: Network, cut: Cut) -> Split:
    """Returns the two parts of `network` at `cut`, which `graph.cut_through` made of its manifest."""
    manifest, inputs = network.manifest, {entry.name for entry in network.manifest.inputs}
    trunk = None
    if any(ref.layer not in inputs for ref in cut.frontier):
        crossing = [network.tensors[ref] for ref in cut.frontier]
        trunk = keras.Model(network.model.inputs, single(crossing))
    tensors: dict[TensorRef, Any] = {}
    for at, ref in enumerate(cut.frontier):
        crossed = network.tensors[ref]
        tensors[ref] = keras.Input(batch_shape=(None, *crossed.shape[1:]), dtype=crossed.dtype, name=f"frontier_{at}")
    entering = list(tensors.values())
    replay(manifest, calls_in_order(manifest, cut.frontier), network.layers, tensors)
    head = keras.Model(single(entering), single([tensors[ref] for ref in manifest.outputs]))
    return Split(trunk, head)
