"""What a layer, and what a trunk, computes: the layer digest and the trunk digest.

A layer digest covers the layer's class, the part of its configuration that changes its output in inference mode, and
its weights. A trunk digest is a Merkle hash: of the layer digest of the call that makes a tensor, with the trunk
digests of the tensors that go into it, down to the inputs. Names never enter either. docs/formats.md has the bytes.

    equal trunk digests       ->  equal outputs
    one weight, one stride    ->  another digest here and in everything downstream, and nowhere else

A layer that does nothing in inference mode, such as Dropout or RandomFlip, leaves no trace in a trunk digest. View
digests are the trunk digests of a network whose random image layers draw, each from its seed; everything else in it is
in inference mode still.
"""

from __future__ import annotations

from typing import Any

from frostline_zoo.digests import digest_of_json
from frostline_zoo.graph import calls_in_order
from frostline_zoo.manifest import Call, Layer, Manifest, TensorRef

_NEVER_OUTPUT = {"name", "trainable", "seed", "activity_regularizer", "build_config", "module", "registered_name"}
_NEVER_OUTPUT_ENDINGS = ("_initializer", "_regularizer", "_constraint")
_NEVER_OUTPUT_ARGUMENTS = {"training"}

_WHOLE_BELOW = 2**24  # from there on neighbours are one number as float32, and two as int32

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
    "STFTSpectrogram": {"window", "scaling", "periodic"},  # what its first kernels are made of
    "MultiHeadAttention": {"dropout"},
    "GroupedQueryAttention": {"dropout"},
    "Attention": {"dropout"},
    "AdditiveAttention": {"dropout"},
}

# Layers that draw a change of each image, one image apart from the other, while a network trains. RandomCrop is not
# among them: in inference mode Keras does not crop at all, and puts out another shape than it says.
RANDOM_IMAGE_LAYERS = frozenset(
    {
        "RandomBrightness",
        "RandomColorDegeneration",
        "RandomColorJitter",
        "RandomContrast",
        "RandomErasing",
        "RandomFlip",
        "RandomGrayscale",
        "RandomHue",
        "RandomInvert",
        "RandomPerspective",
        "RandomPosterization",
        "RandomRotation",
        "RandomSaturation",
        "RandomSharpness",
        "RandomTranslation",
        "RandomZoom",
    }
)
_REGULARIZATIONS = {
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
}
# What these put out in inference mode is what goes in, where that is of their own dtype already.
_NOTHING_IN_INFERENCE = _REGULARIZATIONS | RANDOM_IMAGE_LAYERS


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
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE_BELOW and str(value) != "-0.0":
        return int(value)  # a scale of 2 is a scale of 2.0
    return value


def trunk_digests(manifest: Manifest) -> dict[TensorRef, str]:
    """Returns the trunk digest of every input, every call's first output and every tensor that a network names."""
    return _digests(manifest, with_views=False)


def view_digests(manifest: Manifest) -> dict[TensorRef, str]:
    """Returns what `trunk_digests` does, for the network with its random image layers drawing from their seeds.

    A tensor with no such layer below it has the same digest here and there: it is the same in every view.
    """
    return _digests(manifest, with_views=True)


def _digests(manifest: Manifest, with_views: bool) -> dict[TensorRef, str]:
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
    dtypes = {TensorRef(entry.name): entry.dtype for entry in manifest.inputs}
    masked: set[TensorRef] = set()
    for name, index in calls_in_order(manifest):
        layer, call = layers[name], layers[name].calls[index]
        draws = with_views and layer.class_name in RANDOM_IMAGE_LAYERS
        arguments = _arguments(call, digests)
        below = call.tensors()
        does_nothing = not draws and _does_nothing(layer, call, dtypes, masked)
        for output in sorted(outputs.get((name, index), set()) | {0}):
            ref = TensorRef(name, index, output)
            made = {"layer": layer.digest, **arguments, "output": output}
            if does_nothing:
                digests[ref] = digests[below[0]]
            elif draws:
                digests[ref] = digest_of_json("view", {**made, "seed": layer.config.get("seed")})
            else:
                digests[ref] = digest_of_json("trunk", made)
            dtypes[ref] = _dtype_of(layer, below, dtypes)
            if _may_mask(layer) or any(each in masked for each in below):
                masked.add(ref)
    return digests


def _does_nothing(layer: Layer, call: Call, dtypes: dict[TensorRef, str], masked: set[TensorRef]) -> bool:
    """Whether a call's output is its input: the same numbers in the same dtype, with the same mask."""
    below = call.tensors()
    if layer.class_name not in _NOTHING_IN_INFERENCE or call.args != [{"tensor": list(ref)} for ref in below[:1]]:
        return False
    # Random image layers lose the mask; what is above would then compute something else.
    keeps_mask = layer.class_name in _REGULARIZATIONS or below[0] not in masked
    return keeps_mask and dtypes[below[0]] == _compute_dtype(layer) != _UNKNOWN


# Dtypes are followed only as far as this needs it: floats through layers that say what they compute in.
_UNKNOWN = ""
_FLOATS = {"float16", "bfloat16", "float32", "float64"}
_CASTING = {"Embedding", "Normalization", "Rescaling"}
_LIKE_ANOTHER = {"Bidirectional", "TimeDistributed", "RandomCrop"}


def _dtype_of(layer: Layer, below: list[TensorRef], dtypes: dict[TensorRef, str]) -> str:
    if layer.class_name in _LIKE_ANOTHER:
        return _UNKNOWN
    if layer.class_name in _CASTING or all(dtypes[ref] in _FLOATS for ref in below):
        return _compute_dtype(layer)
    return _UNKNOWN


def _compute_dtype(layer: Layer) -> str:
    dtype = str(layer.config.get("dtype", _UNKNOWN)).removeprefix("mixed_")
    return dtype if dtype in _FLOATS else _UNKNOWN


def _may_mask(layer: Layer) -> bool:
    return layer.class_name == "Masking" or bool(layer.config.get("mask_zero"))


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
