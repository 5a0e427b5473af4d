"""Every layer of the allow-list, described, built, saved by Keras and imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.keras

PAIR = ((8, 4), (8, 4))
SIDES = {1: (8, 4), 2: (8, 8, 4), 3: (6, 6, 6, 2)}

# A layer's class, its arguments and the shape of an example of its input; a pair of shapes where it takes two tensors.
Sample = tuple[dict[str, Any], Any]
SAMPLES: dict[str, Sample] = {
    "Activation": ({"activation": "gelu"}, (4,)),
    "ActivityRegularization": ({"l1": 0.1}, (4,)),
    "Add": ({}, PAIR),
    "AdditiveAttention": ({}, PAIR),
    "AlphaDropout": ({"rate": 0.1}, (4,)),
    "Attention": ({"use_scale": True}, PAIR),
    "Average": ({}, PAIR),
    "BatchNormalization": ({"momentum": 0.9}, (4,)),
    "Bidirectional": ({"layer": ("LSTM", {"units": 3, "return_sequences": True})}, (8, 4)),
    "CenterCrop": ({"height": 4, "width": 4}, (8, 8, 3)),
    "Concatenate": ({}, PAIR),
    "Dense": ({"units": 3, "activation": "relu", "kernel_initializer": "he_normal", "kernel_regularizer": "l2"}, (4,)),
    "Dot": ({"axes": (1, 1), "normalize": True}, PAIR),
    "Dropout": ({"rate": 0.1, "seed": 3}, (4,)),
    "ELU": ({"alpha": 0.5}, (4,)),
    "EinsumDense": ({"equation": "abc,cd->abd", "output_shape": (None, 7), "bias_axes": "d"}, (8, 4)),
    "Embedding": ({"input_dim": 10, "output_dim": 3}, (5,)),
    "Flatten": ({}, (8, 4)),
    "GRU": ({"units": 3, "reset_after": False}, (8, 4)),
    "GaussianDropout": ({"rate": 0.1}, (4,)),
    "GaussianNoise": ({"stddev": 0.1}, (4,)),
    "GroupNormalization": ({"groups": 2}, (8, 8, 4)),
    "GroupedQueryAttention": ({"head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2}, PAIR),
    "Identity": ({}, (4,)),
    "LSTM": ({"units": 3, "return_state": True}, (8, 4)),
    "LayerNormalization": ({}, (4,)),
    "LeakyReLU": ({"negative_slope": 0.2}, (4,)),
    "Masking": ({}, (8, 4)),
    "Maximum": ({}, PAIR),
    "Minimum": ({}, PAIR),
    "MultiHeadAttention": ({"num_heads": 2, "key_dim": 2}, PAIR),
    "Multiply": ({}, PAIR),
    "Normalization": ({"mean": [1.0, 2, 3, 4], "variance": [1.0, 1, 2, 2]}, (4,)),
    "PReLU": ({"shared_axes": [1, 2]}, (8, 8, 4)),
    "Permute": ({"dims": (2, 1)}, (8, 4)),
    "RMSNormalization": ({}, (4,)),
    "RandomBrightness": ({"factor": 0.1, "value_range": (0, 1)}, (8, 8, 3)),
    "RandomColorDegeneration": ({"factor": 0.5}, (8, 8, 3)),
    "RandomColorJitter": ({"brightness_factor": 0.1, "saturation_factor": 0.4}, (8, 8, 3)),
    "RandomContrast": ({"factor": 0.1}, (8, 8, 3)),
    "RandomCrop": ({"height": 4, "width": 4}, (8, 8, 3)),
    "RandomErasing": ({"factor": 0.5}, (8, 8, 3)),
    "RandomFlip": ({}, (8, 8, 3)),
    "RandomGrayscale": ({"factor": 0.5}, (8, 8, 3)),
    "RandomHue": ({"factor": 0.5}, (8, 8, 3)),
    "RandomInvert": ({"factor": 0.5}, (8, 8, 3)),
    "RandomPerspective": ({"factor": 0.5}, (8, 8, 3)),
    "RandomPosterization": ({"factor": 4}, (8, 8, 3)),
    "RandomRotation": ({"factor": 0.1}, (8, 8, 3)),
    "RandomSaturation": ({"factor": 0.5}, (8, 8, 3)),
    "RandomSharpness": ({"factor": 0.5}, (8, 8, 3)),
    "RandomTranslation": ({"height_factor": 0.1, "width_factor": 0.1}, (8, 8, 3)),
    "RandomZoom": ({"height_factor": (0.1, 0.2)}, (8, 8, 3)),
    "ReLU": ({"max_value": 6, "negative_slope": 0.1, "threshold": 0.2}, (4,)),
    "RepeatVector": ({"n": 3}, (4,)),
    "Rescaling": ({"scale": [1.0, 2, 3], "offset": [0.0, 0, 1]}, (8, 8, 3)),
    "Reshape": ({"target_shape": (-1, 2)}, (8, 4)),
    "Resizing": ({"height": 5, "width": 6, "interpolation": "bicubic"}, (8, 8, 3)),
    "STFTSpectrogram": ({"frame_length": 4, "fft_length": 8, "window": [0.5, 1.0, 1.0, 0.5]}, (8, 4)),
    "SimpleRNN": ({"units": 3}, (8, 4)),
    "Softmax": ({}, (4,)),
    "Subtract": ({}, PAIR),
    "TimeDistributed": ({"layer": ("Conv1D", {"filters": 3, "kernel_size": 2})}, (8, 8, 4)),
    "UnitNormalization": ({}, (4,)),
}
for rank, shape in SIDES.items():
    SAMPLES |= {
        f"AdaptiveAveragePooling{rank}D": ({"output_size": 2}, shape),
        f"AdaptiveMaxPooling{rank}D": ({"output_size": 2}, shape),
        f"AveragePooling{rank}D": ({"pool_size": 2}, shape),
        f"Conv{rank}D": ({"filters": 4, "kernel_size": 3, "kernel_constraint": "max_norm"}, shape),
        f"Conv{rank}DTranspose": ({"filters": 4, "kernel_size": 3, "strides": 2}, shape),
        f"Cropping{rank}D": ({"cropping": 1}, shape),
        f"GlobalAveragePooling{rank}D": ({"keepdims": True}, shape),
        f"GlobalMaxPooling{rank}D": ({}, shape),
        f"MaxPooling{rank}D": ({"pool_size": 2, "padding": "same"}, shape),
        f"SpatialDropout{rank}D": ({"rate": 0.1}, shape),
        f"UpSampling{rank}D": ({"size": 2}, shape),
        f"ZeroPadding{rank}D": ({"padding": 1}, shape),
    }
    if rank < 3:
        SAMPLES[f"DepthwiseConv{rank}D"] = ({"kernel_size": 3, "depth_multiplier": 2}, shape)
        SAMPLES[f"SeparableConv{rank}D"] = ({"filters": 5, "kernel_size": 3}, shape)


# Keras's own writer of .h5 files cannot copy what these hold.
NOT_SAVED_AS_H5 = {
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomPosterization",
    "RandomSaturation",
    "RandomSharpness",
}


def made(class_name: str) -> tuple[Any, list[np.ndarray[Any, Any]]]:
    """Returns a network of one layer, its weights random, and rows for its inputs."""
    import keras

    from frostline_zoo.networks.allowed import LAYERS

    arguments, shapes = SAMPLES[class_name]
    shapes = shapes if isinstance(shapes[0], tuple) else (shapes,)
    inputs = [keras.Input(shape) for shape in shapes]
    wrapped = {key: LAYERS[value[0]](**value[1]) for key, value in arguments.items() if key == "layer"}
    layer = LAYERS[class_name](**{**arguments, **wrapped})
    several = inputs if class_name in ("MultiHeadAttention", "GroupedQueryAttention") else [inputs]
    model = keras.Model(inputs, layer(inputs[0]) if len(inputs) == 1 else layer(*several))
    numbers = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(numbers.uniform(0.1, 1, tuple(variable.shape)))
    return model, [numbers.uniform(0, 5, (2, *shape)).astype("float32") for shape in shapes]


def test_there_is_a_sample_of_every_layer_of_the_allow_list() -> None:
    from frostline_zoo.networks.allowed import LAYERS

    assert set(SAMPLES) == set(LAYERS)


@pytest.mark.parametrize("class_name", sorted(SAMPLES))
def test_a_layer_comes_back_as_it_was(class_name: str, tmp_path: Path) -> None:
    import keras

    from frostline_zoo.networks.build import build
    from frostline_zoo.networks.describe import describe
    from frostline_zoo.networks.importer import import_network

    model, x = made(class_name)
    described = describe(model)
    network = build(described.manifest, described.blobs.__getitem__)
    assert describe(network.model).manifest.encode() == described.manifest.encode()
    outputs = [keras.tree.flatten(each(x, training=False)) for each in (model, network.model)]
    for one, other in zip(*outputs, strict=True):
        np.testing.assert_array_equal(one, other)
    for suffix in ("keras",) if class_name in NOT_SAVED_AS_H5 else ("keras", "h5"):
        model.save(tmp_path / f"network.{suffix}")
        assert import_network(tmp_path / f"network.{suffix}").manifest == described.manifest
