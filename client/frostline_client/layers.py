"""Layers for recipes, by their Keras names and arguments: `layers.Dense(5, activation="softmax")`."""

from __future__ import annotations

from collections.abc import Callable

from frostline_client.spelling import Spelled, speller

_POSITIONAL = {
    "Activation": ("activation",),
    "AveragePooling1D": ("pool_size", "strides"),
    "AveragePooling2D": ("pool_size", "strides"),
    "BatchNormalization": ("axis", "momentum", "epsilon"),
    "Conv1D": ("filters", "kernel_size", "strides"),
    "Conv2D": ("filters", "kernel_size", "strides"),
    "Dense": ("units", "activation"),
    "DepthwiseConv2D": ("kernel_size", "strides"),
    "Dropout": ("rate",),
    "GaussianNoise": ("stddev",),
    "LeakyReLU": ("negative_slope",),
    "MaxPooling1D": ("pool_size", "strides"),
    "MaxPooling2D": ("pool_size", "strides"),
    "RandomBrightness": ("factor",),
    "RandomContrast": ("factor",),
    "RandomFlip": ("mode",),
    "RandomGrayscale": ("factor",),
    "RandomHue": ("factor",),
    "RandomRotation": ("factor",),
    "RandomSaturation": ("factor",),
    "RandomTranslation": ("height_factor", "width_factor"),
    "RandomZoom": ("height_factor", "width_factor"),
    "ReLU": ("max_value",),
    "Rescaling": ("scale", "offset"),
    "Reshape": ("target_shape",),
    "SeparableConv2D": ("filters", "kernel_size", "strides"),
    "SpatialDropout2D": ("rate",),
    "ZeroPadding2D": ("padding",),
}


def __getattr__(name: str) -> Callable[..., Spelled]:
    return speller("layers", name, _POSITIONAL)
