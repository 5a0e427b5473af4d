"""Layers as Keras 2 configured them, in the words of Keras 3."""

from __future__ import annotations

from typing import Any

from frostline_zoo.errors import InvalidError

# Keys of Keras 2 that say nothing about the output: how to run, what to be fed, or what Keras 3 finds out by itself.
_GONE = {
    "batch_input_shape",
    "batch_shape",
    "input_shape",
    "input_length",
    "ragged",
    "sparse",
    "implementation",
    "fused",
    "virtual_batch_size",
    "rng_type",
    "query_shape",
    "key_shape",
    "value_shape",
    "filters",
    "experimental_autocast",
    "_backend",
    "vectorized",
}
# Keys of Keras 2 whose other values Keras 3 has no word for.
_ONLY: dict[str, tuple[Any, ...]] = {
    "time_major": (False,),
    "renorm": (False, None),
    "rms_scaling": (False,),
    "causal": (False,),
    "noise_shape": (None,),
    "groups": (1,),
    "_use_batch_dims": (False,),
}
_CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D")
_KEEPS_FILTERS = (*_CONVOLUTIONS, *(f"{name}Transpose" for name in _CONVOLUTIONS), "SeparableConv1D", "SeparableConv2D")
_KEEPS_GROUPS = (*_CONVOLUTIONS, "GroupNormalization")
_KEEPS_NOISE_SHAPE = ("Dropout", "AlphaDropout")
_NO_KERNEL = ("SeparableConv1D", "SeparableConv2D", "DepthwiseConv1D", "DepthwiseConv2D")
_KERNEL = {"kernel_initializer", "kernel_regularizer", "kernel_constraint"}
_WRAPPED = ("layer", "backward_layer")


def in_keras_3(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Returns a Keras 2 layer's configuration as Keras 3 has it.

    Raises:
        InvalidError: the layer works in a way that Keras 3 does not know.
    """
    name = str(config.get("name", class_name))[:80]
    kept = {}
    for key, value in config.items():
        keeps = (
            (key == "groups" and class_name in _KEEPS_GROUPS)
            or (key == "noise_shape" and class_name in _KEEPS_NOISE_SHAPE)
            or (key == "filters" and class_name in _KEEPS_FILTERS)
        )
        if not keeps and key in _ONLY:
            if value not in _ONLY[key]:
                text = f"layer {name!r}: {key}={value!r} of Keras 2 has no counterpart in Keras 3"
                raise InvalidError(text, reason="UNSUPPORTED_LAYER")
        elif keeps or key not in _GONE:
            kept[key] = value
    if class_name in _NO_KERNEL:
        kept = {key: value for key, value in kept.items() if key not in _KERNEL}
    if class_name == "BatchNormalization" and isinstance(kept.get("axis"), list) and len(kept["axis"]) == 1:
        kept["axis"] = kept["axis"][0]
    if class_name == "LeakyReLU" and "alpha" in kept:
        kept["negative_slope"] = kept.pop("alpha")
    if "hard_sigmoid" in (kept.get("activation"), kept.get("recurrent_activation")):
        text = f"layer {name!r}: hard_sigmoid is another function in Keras 3 than in Keras 2"
        raise InvalidError(f"{text}, so the network would compute something else", reason="UNSUPPORTED_LAYER")
    for key in _WRAPPED:
        inner = kept.get(key)
        if isinstance(inner, dict) and isinstance(inner.get("config"), dict):
            kept[key] = {**inner, "config": in_keras_3(str(inner.get("class_name")), inner["config"])}
    return kept


def as_it_is(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Returns a Keras 3 layer's configuration: there is nothing to translate."""
    return config
