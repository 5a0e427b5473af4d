"""What a layer, and what a trunk, computes: the layer digest and the trunk digest.

A layer digest covers the layer's class, the part of its configuration that changes its output in inference mode, and
its weights. A trunk digest is a Merkle hash: of the layer digest of the call that makes a tensor, with the trunk
digests of the tensors that go into it, down to the inputs. Names never enter either. docs/formats.md has the bytes.

    equal trunk digests       ->  equal outputs
    one weight, one stride    ->  another digest here and in everything downstream, and nowhere else
"""

from __future__ import annotations

from typing import Any

from frostline_zoo.digests import digest_of_json
from frostline_zoo.graph import calls_in_order
from frostline_zoo.manifest import Call, Manifest, TensorRef

_NEVER_OUTPUT = {"name", "trainable", "seed", "activity_regularizer", "build_config", "module", "registered_name"}
_NEVER_OUTPUT_ENDINGS = ("_initializer", "_regularizer", "_constraint")
_NEVER_OUTPUT_ARGUMENTS = {"training"}

_RECURRENT = {"dropout", "recurrent_dropout", "unit_forget_bias"}

# What a class's configuration holds for training alone: in inference mode it changes nothing.
_TRAINING_ONLY: dict[str, set[str]] = {
    "Dropout": {"rate", "noise_shape"},
    "SpatialDropout1D": {"rate"},
    "SpatialDropout2D": {"rate", "data_format"},
    "SpatialDropout3D": {"rate", "data_format"},
    "AlphaDropout": {"rate", "noise_shape"},
    "GaussianDropout": {"rate"},
    "GaussianNoise": {"stddev"},
    "ActivityRegularization": {"l1", "l2"},
    "BatchNormalization": {"momentum", "synchronized"},
    "LSTM": _RECURRENT,
    "GRU": _RECURRENT,
    "SimpleRNN": _RECURRENT,
    "MultiHeadAttention": {"dropout"},
    "GroupedQueryAttention": {"dropout"},
    "Attention": {"dropout"},
    "AdditiveAttention": {"dropout"},
}


def layer_digest(class_name: str, config: dict[str, Any], blob: str | None) -> str:
    """Returns the digest of what a layer computes in inference mode.

    Args:
        class_name: its Keras class.
        config: its configuration, as a manifest holds it.
        blob: the digest of its weights; None for a layer without weights.
    """
    return digest_of_json("layer", {"class": class_name, "config": reduced_config(class_name, config), "weights": blob})


def reduced_config(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of a configuration that changes the output in inference mode. A key that is null is left out."""
    left_out = _NEVER_OUTPUT | _TRAINING_ONLY.get(class_name, set())
    return {
        key: _reduced(value)
        for key, value in config.items()
        if value is not None and key not in left_out and not key.endswith(_NEVER_OUTPUT_ENDINGS)
    }


def _reduced(value: Any) -> Any:
    if isinstance(value, dict) and "class_name" in value and isinstance(value.get("config"), dict):
        config = reduced_config(value["class_name"], value["config"])
        if value["class_name"].endswith("Policy"):  # a dtype policy goes by its name
            return config.get("name", value["config"].get("name"))
        return {"class_name": value["class_name"], "config": config}
    if isinstance(value, list):
        return [_reduced(item) for item in value]
    return value


def trunk_digests(manifest: Manifest) -> dict[TensorRef, str]:
    """Returns the trunk digest of every input, every call's first output and every tensor that a network names."""
    preprocessing = manifest.preprocessing.to_json()
    digests = {
        TensorRef(entry.name): digest_of_json(
            "input",
            {"index": index, "shape": list(entry.shape), "dtype": entry.dtype, "preprocessing": preprocessing},
        )
        for index, entry in enumerate(manifest.inputs)
    }
    layers = {layer.name: layer for layer in manifest.layers}
    used = {ref for layer in manifest.layers for call in layer.calls for ref in call.tensors()} | set(manifest.outputs)
    outputs: dict[tuple[str, int], set[int]] = {}
    for ref in used:
        outputs.setdefault((ref.layer, ref.call), set()).add(ref.output)
    for name, index in calls_in_order(manifest):
        call = layers[name].calls[index]
        arguments = _arguments(call, digests)
        for output in sorted(outputs.get((name, index), set()) | {0}):
            made = {"layer": layers[name].digest, **arguments, "output": output}
            digests[TensorRef(name, index, output)] = digest_of_json("trunk", made)
    return digests


def _arguments(call: Call, digests: dict[TensorRef, str]) -> dict[str, Any]:
    def replaced(value: Any) -> Any:
        if isinstance(value, dict) and set(value) == {"tensor"}:
            return {"tensor": digests[TensorRef(*value["tensor"])]}
        if isinstance(value, dict):
            return {key: replaced(item) for key, item in value.items()}
        if isinstance(value, list):
            return [replaced(item) for item in value]
        return value

    kwargs = {
        key: value for key, value in call.kwargs.items() if value is not None and key not in _NEVER_OUTPUT_ARGUMENTS
    }
    return {"args": replaced(call.args), "kwargs": replaced(kwargs)}
