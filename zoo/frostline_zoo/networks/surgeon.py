"""A network that surgery changed, built; or refused, with the shapes on both sides, where layers do not fit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from frostline_zoo.errors import CorruptError, InvalidError
from frostline_zoo.graph import calls_in_order
from frostline_zoo.manifest import Manifest, TensorRef
from frostline_zoo.networks.allowed import make_layer
from frostline_zoo.networks.build import Network, build, input_tensors, replay
from frostline_zoo.networks.weights import declared, parameters_of
from frostline_zoo.surgery import Shape, shown

Donors = Mapping[str, tuple[Manifest, str]]


def build_changed(
    manifest: Manifest, read_blob: Callable[[str], bytes], new: Mapping[str, Any], donors: Donors
) -> Network:
    """Returns the network that a manifest describes, as `build`.

    Args:
        manifest: the network after surgery.
        read_blob: gives the bytes of a layer's weights for their digest.
        new: unbuilt Keras layers, by name, that begin with weights of their own.
        donors: for every other layer, the network that it was part of before, and its name there.

    Raises:
        InvalidError: a layer does not fit on what feeds it now: the message has the shapes that it took and would be
            given.
        CorruptError, ExhaustedError: as `build`.
    """
    try:
        return build(manifest, read_blob, new)
    except (InvalidError, CorruptError) as error:
        raise _misfit(manifest, new, donors) or error from error


def shapes_of(manifest: Manifest) -> dict[TensorRef, Shape]:
    """Returns the shapes of a network's tensors, without the batch."""
    with declared():
        layers = {layer.name: make_layer(layer.class_name, layer.config, layer.name) for layer in manifest.layers}
        tensors = input_tensors(manifest)
        replay(manifest, calls_in_order(manifest), layers, tensors)
    return {ref: tuple(tensor.shape[1:]) for ref, tensor in tensors.items()}


def _misfit(manifest: Manifest, new: Collection[str], donors: Donors) -> InvalidError | None:
    """Returns the refusal of the lowest layer that does not fit on what feeds it, if there is one."""
    known = {layer.name: layer for layer in manifest.layers}
    with declared():
        tensors = input_tensors(manifest)
        layers: dict[str, Any] = {}
        for name, index in calls_in_order(manifest):
            if name not in layers:
                layers[name] = make_layer(known[name].class_name, known[name].config, name)
            try:
                replay(manifest, [(name, index)], layers, tensors)
                fits = name in new or parameters_of(layers[name]) == known[name].parameters
            except InvalidError:
                fits = False
            if not fits:
                break
        else:
            return None
    fed = known[name].calls[index].tensors()
    given = ", ".join(f"{shown(tuple(tensors[ref].shape[1:]))} from {ref.layer!r}" for ref in fed if ref in tensors)
    if name in donors:
        took = f"took {_taken_before(*donors[name])}"
        mend = f"change the shape between them, or replace {name!r} too"
    else:
        took, mend = "is new", "change the shape between them, as Flatten does, or choose another layer"
    return InvalidError(
        f"layer {name!r} {took}, and does not fit on {given}: {mend}", reason="SHAPE_MISMATCH", layer=name
    )


def _taken_before(donor: Manifest, name: str) -> str:
    layer = donor.layer(name)
    shapes = shapes_of(donor)
    return ", ".join(shown(shapes[ref]) for ref in (layer.calls[0].tensors() if layer else []))
