"""Manifests as the client reads them: the layers of a version. docs/formats.md describes every key."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from frostline_client.errors import CorruptError, UnsupportedError

FORMAT = "frostline.manifest.v1"


@dataclass(frozen=True)
class Layer:
    """One layer of a version.

    Attributes:
        name: unique in the network.
        class_name: its Keras class, such as `Dense`.
        config: its Keras configuration.
        digest: the layer digest: what it computes.
        blob: the digest of its weights; None without weights.
        parameter_count: how many numbers its weights have.
        trainable: whether it trained last.
        origin: the digest of the version that it was taken from, where that is not the version's parent; else None.
    """

    name: str
    class_name: str
    config: dict[str, Any]
    digest: str
    blob: str | None
    parameter_count: int
    trainable: bool
    origin: str | None = None


def layers_of(manifest: bytes) -> tuple[Layer, ...]:
    """Returns the layers that a manifest lists, from the input up.

    Raises:
        UnsupportedError: the manifest is of another format than this client reads.
        CorruptError: it names a blob by something that is not a digest.
    """
    value = json.loads(manifest)
    if value.get("format") != FORMAT:
        raise UnsupportedError(f"the manifest's format {value.get('format')!r} is not known here: update the client")
    origins = value.get("origins", {})
    return tuple(_layer(layer, origins.get(layer["name"])) for layer in value["layers"])


def _layer(value: dict[str, Any], origin: str | None) -> Layer:
    blob = value["blob"]
    if blob is not None and not re.fullmatch("sha256:[0-9a-f]{64}", blob):  # it becomes the name of a file
        raise CorruptError(f"the manifest's layer {value['name']!r} names no blob")
    return Layer(
        name=value["name"],
        class_name=value["class"],
        config=value["config"],
        digest=value["digest"],
        blob=blob,
        parameter_count=sum(math.prod(parameter["shape"]) for parameter in value["parameters"]),
        trainable=value["trainable"],
        origin=origin,
    )
