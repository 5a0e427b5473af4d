"""Normalization folded into the layer before it: the same outputs, and left alone where they would not be the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.keras

ROWS, SIDE = 4, 8


def tensor_of(rank: int) -> Any:
    import keras

    return keras.Input((SIDE,) * rank + (6,))


def trained(model: Any) -> Any:
    """Gives every weight and statistic a value of its own, as training would."""
    random = np.random.default_rng(3)
    for variable in model.variables:
        drawn = random.uniform(0.3, 2.0, variable.shape)
        variable.assign(drawn if "variance" in variable.name else drawn - 1.0)
    return model


def norms_left(model: Any) -> int:
    return sum(type(layer).__name__ == "BatchNormalization" for layer in model.layers)


def assert_same(model: Any, other: Any) -> None:
    rows = np.random.default_rng(5).normal(size=(ROWS, *model.inputs[0].shape[1:])).astype(np.float32)
    for one, two in zip(*(each(rows, training=False) for each in (model, other)), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def layer(name: str, **arguments: Any) -> Any:
    import keras

    known = {"kernel_size": 3, "filters": 5} if "Conv" in name else {"units": 5}
    if "Depthwise" in name:
        known = {"kernel_size": 3, "depth_multiplier": 2}
    return getattr(keras.layers, name)(**known | arguments)


LAYERS = {
    "Conv1D": 1,
    "Conv2D": 2,
    "Conv3D": 3,
    "Dense": 0,
    "DepthwiseConv1D": 1,
    "DepthwiseConv2D": 2,
    "SeparableConv1D": 1,
    "SeparableConv2D": 2,
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_a_folded_network_gives_the_outputs_of_the_whole_one(name: str, bias: bool) -> None:
    import keras

    from frostline_server.engine.folding import folded

    x = tensor_of(LAYERS[name])
    scaled = keras.layers.BatchNormalization(epsilon=0.1)(layer(name, use_bias=bias)(x))
    plain = keras.layers.BatchNormalization(scale=False, center=False)(layer(name, use_bias=bias)(scaled))
    model = trained(keras.Model(x, [keras.layers.ReLU()(scaled), plain]))
    lean = folded(model)
    assert norms_left(lean) == 0
    assert norms_left(model) == 2
    assert_same(model, lean)


def test_groups_strides_and_dilation_are_kept() -> None:
    import keras

    from frostline_server.engine.folding import folded

    x = tensor_of(2)
    y = keras.layers.Conv2D(6, 3, groups=3, strides=2, padding="same")(x)
    y = keras.layers.BatchNormalization()(y)
    y = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 2, dilation_rate=2)(y))
    model = trained(keras.Model(x, [y, y + 1.0]))
    assert norms_left(folded(model)) == 0
    assert_same(model, folded(model))


def activated(x: Any) -> Any:
    import keras

    return keras.layers.BatchNormalization()(layer("Conv2D", activation="relu")(x))


def used_twice(x: Any) -> Any:
    import keras

    made = layer("Conv2D")(x)
    return keras.layers.Add()([made, keras.layers.BatchNormalization()(made)])


def called_twice(x: Any) -> Any:
    import keras

    shared = layer("Conv2D", filters=6, padding="same")
    return shared(keras.layers.BatchNormalization()(shared(x)))


def shared_norm(x: Any) -> Any:
    import keras

    norm = keras.layers.BatchNormalization()
    return norm(layer("Conv2D", filters=6)(norm(layer("Conv2D", filters=6)(x))))


def over_rows(x: Any) -> Any:
    import keras

    return keras.layers.BatchNormalization(axis=1)(layer("Conv2D")(x))


def at_the_input(x: Any) -> Any:
    import keras

    return layer("Conv2D")(keras.layers.BatchNormalization()(x))


def of_half_precision(x: Any) -> Any:
    import keras

    return keras.layers.BatchNormalization()(layer("Conv2D", dtype="float16")(x))


@pytest.mark.parametrize(
    "build", [activated, used_twice, called_twice, shared_norm, over_rows, at_the_input, of_half_precision]
)
def test_what_is_no_affine_map_of_each_channel_is_left_alone(build: Callable[[Any], Any]) -> None:
    import keras

    from frostline_server.engine.folding import folded

    x = tensor_of(2)
    model = trained(keras.Model(x, build(x)))
    assert folded(model) is model


def test_a_tensor_that_is_asked_for_is_not_folded_away() -> None:
    import keras

    from frostline_server.engine.folding import folded

    x = tensor_of(2)
    made = layer("Conv2D")(x)
    model = trained(keras.Model(x, [made, keras.layers.BatchNormalization()(made)]))
    assert folded(model) is model


def test_what_has_a_mask_is_left_alone() -> None:
    import keras

    from frostline_server.engine.folding import folded

    ids = keras.Input((SIDE,), dtype="int32")
    words = keras.layers.Dense(6)(keras.layers.Embedding(9, 4, mask_zero=True)(ids))
    model = trained(keras.Model(ids, keras.layers.LSTM(3)(keras.layers.BatchNormalization()(words))))
    assert folded(model) is model


def test_layers_that_are_folded_stay_what_they_were() -> None:
    import keras

    from frostline_server.engine.folding import folded

    x = tensor_of(2)
    model = trained(keras.Model(x, keras.layers.BatchNormalization()(layer("Conv2D")(x))))
    before = [np.array(variable) for variable in model.variables]
    folded(model)
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, variable)
    assert norms_left(folded(model)) == 0, "a second one folds as the first did"
