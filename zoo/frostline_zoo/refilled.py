"""Networks with other weights: the same graph and configurations, some parameters' values replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from frostline_zoo.digests import digest_of
from frostline_zoo.identity import layer_digest
from frostline_zoo.manifest import Layer, Manifest
from frostline_zoo.tensors import Array, decode_tensors, encode_tensors


def refilled(
    base: Manifest, values: Mapping[tuple[str, str], Array], read_blob: Callable[[str], bytes]
) -> tuple[Manifest, dict[str, bytes]]:
    """Returns a network with new values for some parameters, its parent being `base`, and its new blobs by digest.

    Args:
        base: the network.
        values: by layer and parameter, each of the parameter's shape and dtype; what is left out stays as it is.
        read_blob: gives the bytes of a layer's weights for their digest.
    """
    blobs: dict[str, bytes] = {}
    layers = tuple(_refilled(layer, values, read_blob, blobs) for layer in base.layers)
    return replace(base, layers=layers).derived(parent=base.digest, job=None), blobs


def _refilled(
    layer: Layer,
    values: Mapping[tuple[str, str], Array],
    read_blob: Callable[[str], bytes],
    blobs: dict[str, bytes],
) -> Layer:
    new = {each.name: values[layer.name, each.name] for each in layer.parameters if (layer.name, each.name) in values}
    if not new or layer.blob is None:
        return layer
    content = encode_tensors({**decode_tensors(read_blob(layer.blob)), **new})
    digest = digest_of(content)
    blobs[digest] = content
    return replace(layer, blob=digest, digest=layer_digest(layer.class_name, layer.config, digest))
