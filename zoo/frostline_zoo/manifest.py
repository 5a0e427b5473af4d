"""Manifests: one network as canonical JSON. docs/formats.md describes every key.

A network is a graph. Its nodes are calls of layers: a shared layer is one layer with several calls. Nested models are
flattened on the way in, their layers named `outer.inner`, so that a cut may run through them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

from frostline_zoo.digests import canonical_json, checked_digest, digest_of
from frostline_zoo.errors import CorruptError
from frostline_zoo.preprocessing import Preprocessing

FORMAT = "frostline.manifest.v1"


class TensorRef(NamedTuple):
    """Names a tensor of a network: output `output` of call `call` of layer (or input) `layer`."""

    layer: str
    call: int = 0
    output: int = 0


@dataclass(frozen=True)
class Input:
    """One input: `shape` without the batch, null where a side is free."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class Parameter:
    """One array of a layer's weights, under its name in the layer's blob."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Call:
    """One use of a layer: its arguments as JSON, a tensor among them written `{"tensor": [layer, call, output]}`."""

    args: list[Any]
    kwargs: dict[str, Any] = field(default_factory=dict)

    def tensors(self) -> list[TensorRef]:
        """Returns the tensors among the arguments, in order."""
        found: list[TensorRef] = []

        def visit(value: Any) -> None:
            if isinstance(value, dict) and set(value) == {"tensor"}:
                found.append(TensorRef(*value["tensor"]))
            elif isinstance(value, dict):
                for key in sorted(value):
                    visit(value[key])
            elif isinstance(value, list):
                for item in value:
                    visit(item)

        visit(self.args)
        visit(self.kwargs)
        return found

    def on(self, change: Callable[[TensorRef], TensorRef]) -> Call:
        """Returns the same use of other tensors: `change` of each."""

        def changed(value: Any) -> Any:
            if isinstance(value, dict) and set(value) == {"tensor"}:
                return {"tensor": list(change(TensorRef(*value["tensor"])))}
            if isinstance(value, dict):
                return {key: changed(item) for key, item in value.items()}
            if isinstance(value, list):
                return [changed(item) for item in value]
            return value

        return Call(changed(self.args), changed(self.kwargs))


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        name: unique in the network.
        class_name: a Keras layer class on the allow-list, such as `Dense`.
        config: its Keras configuration, without `name` and `trainable`.
        digest: the layer digest: what it computes in inference mode.
        blob: the digest of its weights, a canonical safetensors blob; None for a layer without weights.
        parameters: what the blob holds, in the order of Keras's `layer.weights`.
        trainable: whether it trained last.
        calls: its uses, in order.
    """

    name: str
    class_name: str
    config: dict[str, Any]
    digest: str
    blob: str | None
    parameters: tuple[Parameter, ...]
    trainable: bool
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Manifest:
    """One network: its graph, its layers in topological order, its inputs and outputs, and where it comes from.

    Attributes:
        inputs: the network's inputs, in order.
        layers: in an order in which every first call comes after the calls it needs.
        outputs: the network's outputs, in order.
        preprocessing: how an example becomes the input.
        parent: the digest of the version it was made from.
        job: `jobs/{job}` that made it.
        origins: for each layer taken from another version than the parent, that version's digest.
    """

    inputs: tuple[Input, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[TensorRef, ...]
    preprocessing: Preprocessing = Preprocessing()
    parent: str | None = None
    job: str | None = None
    origins: dict[str, str] = field(default_factory=dict)

    def layer(self, name: str) -> Layer | None:
        """Returns the layer of that name."""
        return next((layer for layer in self.layers if layer.name == name), None)

    def blobs(self) -> list[str]:
        """Returns the digests of the layer blobs, each once, in order."""
        return list(dict.fromkeys(layer.blob for layer in self.layers if layer.blob))

    def encode(self) -> bytes:
        """Returns the canonical JSON, whose digest names the version."""
        return canonical_json(
            {
                "format": FORMAT,
                "inputs": [{"name": i.name, "shape": list(i.shape), "dtype": i.dtype} for i in self.inputs],
                "layers": [_layer_to_json(layer) for layer in self.layers],
                "outputs": [list(output) for output in self.outputs],
                "preprocessing": self.preprocessing.to_json(),
                "parent": self.parent,
                "job": self.job,
            }
            | ({"origins": self.origins} if self.origins else {})
        )

    @property
    def digest(self) -> str:
        """The digest that names the version."""
        return digest_of(self.encode())

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """Reads canonical JSON.

        Raises:
            CorruptError: it is not a manifest of a format that this program knows.
        """
        try:
            value = json.loads(content)
            if value["format"] != FORMAT:
                raise ValueError(value["format"])
            return cls(
                tuple(Input(i["name"], tuple(i["shape"]), i["dtype"]) for i in value["inputs"]),
                tuple(_layer_from_json(layer) for layer in value["layers"]),
                tuple(TensorRef(*output) for output in value["outputs"]),
                Preprocessing.from_json(value["preprocessing"]),
                value["parent"],
                value["job"],
                {layer: checked_digest(origin) for layer, origin in value.get("origins", {}).items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptError("not a manifest of a format known here", reason="BAD_MANIFEST") from error

    def derived(self, *, parent: str | None, job: str | None) -> Self:
        """Returns the same network with another origin."""
        return replace(self, parent=parent, job=job)


def _layer_to_json(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "class": layer.class_name,
        "config": layer.config,
        "digest": layer.digest,
        "blob": layer.blob,
        "parameters": [{"name": p.name, "shape": list(p.shape), "dtype": p.dtype} for p in layer.parameters],
        "trainable": layer.trainable,
        "calls": [{"args": call.args, "kwargs": call.kwargs} for call in layer.calls],
    }


def _layer_from_json(value: dict[str, Any]) -> Layer:
    return Layer(
        value["name"],
        value["class"],
        value["config"],
        checked_digest(value["digest"]),
        value["blob"] and checked_digest(value["blob"]),
        tuple(Parameter(p["name"], tuple(p["shape"]), p["dtype"]) for p in value["parameters"]),
        value["trainable"],
        tuple(Call(call["args"], call["kwargs"]) for call in value["calls"]),
    )
