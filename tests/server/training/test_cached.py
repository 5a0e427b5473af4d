"""Law 3 wherever features are: on disk, in memory, streamed, at a lower cut or nowhere, in every dtype, with views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.keras
ROWS = 150

HEAD = [{"Dense": {"units": 5, "activation": "softmax", "name": "top"}}]
FLIPS = [
    {"RandomFlip": {"mode": "horizontal", "seed": 4}},
    {"RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2, "seed": 5}},
]
CHILD: dict[str, Any] = {
    "base": "base",
    "head": HEAD,
    "data": {"train": "digits", "validation": {"fraction": 0.2, "seed": 1}},
    "stages": [{"epochs": 4, "batch_size": 16}],
}


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 6, 6, 3)).astype(np.float32)


@pytest.fixture
def base(push_rows: Any, add_network: Any) -> Any:
    """A dataset of pictures, and a convolving network: conv 576 -> squeezed 16 -> wide 200."""
    import keras

    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 6, 3))
    conv = keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="conv")(inputs)
    squeezed = keras.layers.GlobalAveragePooling2D(name="squeezed")(conv)
    wide = keras.layers.Dense(200, "elu", name="wide")(squeezed)
    add_network("base", keras.Model(inputs, keras.layers.Dense(5, "softmax", name="old")(wide)))
    push_rows("digits", pictures(ROWS), np.arange(ROWS) % 5)
    return None


DEAR, WIDENING = {"conv": 0.01, "wide": 0.01}, {"conv": 0.1, "wide": 1e-7}
PLACES = {  # how much disk and memory, what layers cost -> where rows are kept
    "store": ({}, DEAR, ("store", "wide")),
    "streamed": ({"memory": 1}, DEAR, ("store", "wide")),
    "memory": ({"disk": 0}, DEAR, ("memory", "wide")),
    "lower": ({"disk": 130_000, "memory": 1}, WIDENING, ("store", "squeezed")),
    "nowhere": ({"disk": 0, "memory": 1}, DEAR, ("nowhere", "")),
    "uncached": ({}, DEAR, ("nowhere", "")),
}


@pytest.mark.parametrize(
    "keys",
    [{}, {"cache": {"dtype": "float16"}}, {"cache": {"dtype": "bfloat16"}}, {"augment": FLIPS, "cache": {"views": 4}}],
    ids=["float32", "float16", "bfloat16", "views"],
)
def test_wherever_features_are_training_ends_with_the_same_bits(
    base: Any, run: Any, bits: Any, within: Any, recorded: Any, keys: dict[str, Any]
) -> None:
    ended = {}
    for place, (bounds, costs, kept) in PLACES.items():
        recipe = {**CHILD, **keys}
        if place == "uncached" and "dtype" in recipe.get("cache", {}):
            continue  # without a cache nothing is rounded
        if place == "uncached":
            recipe["cache"] = False
        within().features.prune(lambda _: True)
        (stage,) = run(place, within=within(**bounds), costs=recorded(costs), **recipe).stages
        assert (stage.plan.kept, "".join(stage.plan.kept_at)) == kept, (place, stage.plan)
        ended[place] = bits(place)
    assert [place for place in ended if ended[place] != ended["store"]] == []
