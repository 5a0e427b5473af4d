"""Views: every random image layer draws for each row alone, in range, and as its seed says."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_zoo.identity import RANDOM_IMAGE_LAYERS

pytestmark = pytest.mark.keras

IMAGES = np.random.default_rng(0).integers(0, 256, (48, 12, 10, 3)).astype(np.float32)
DIGESTS = np.random.default_rng(1).integers(0, 256, (48, 32), np.uint8)
ARGUMENTS: dict[str, dict[str, Any]] = {
    "RandomBrightness": {"factor": 0.3},
    "RandomColorDegeneration": {"factor": 0.8},
    "RandomColorJitter": {
        "brightness_factor": 0.2,
        "contrast_factor": 0.2,
        "saturation_factor": 0.6,
        "hue_factor": 0.2,
    },
    "RandomContrast": {"factor": 0.5},
    "RandomErasing": {"factor": [0.2, 0.9]},
    "RandomFlip": {"mode": "horizontal"},
    "RandomGrayscale": {"factor": 0.5},
    "RandomHue": {"factor": 0.5},
    "RandomInvert": {"factor": 0.5},
    "RandomPerspective": {"factor": [0.2, 0.9], "scale": 0.4},
    "RandomPosterization": {"factor": [1, 6]},
    "RandomRotation": {"factor": 0.2},
    "RandomSaturation": {"factor": [0.2, 0.8]},
    "RandomSharpness": {"factor": 0.8},
    "RandomTranslation": {"height_factor": 0.3, "width_factor": 0.3},
    "RandomZoom": {"height_factor": 0.3, "width_factor": 0.3},
}


def model_of(*layers: Any) -> Any:
    import keras

    images = keras.Input(IMAGES.shape[1:])
    tensor = images
    for layer in layers:
        tensor = layer(tensor)
    return keras.Model(images, tensor)


def layer_of(name: str, seed: int = 5) -> Any:
    import keras

    return getattr(keras.layers, name)(**ARGUMENTS[name], seed=seed)


def views(model: Any, view: int = 1, order: Any = slice(None)) -> Any:
    from frostline_server.engine.views import compiled_views, view_seeds

    return compiled_views(model)([IMAGES[order]], view_seeds(DIGESTS[order], view))[0]


def test_every_random_layer_is_tried_here() -> None:
    assert set(ARGUMENTS) == RANDOM_IMAGE_LAYERS


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_a_row_is_the_same_in_every_batch_and_place_and_another_in_another_view(name: str) -> None:
    from frostline_server.engine.views import compiled_views, view_seeds

    program = compiled_views(model_of(layer_of(name)))
    first = program([IMAGES], view_seeds(DIGESTS, 1))[0]
    order = np.random.default_rng(2).permutation(48)
    assert program([IMAGES[order]], view_seeds(DIGESTS[order], 1))[0].tobytes() == first[order].tobytes()
    others = np.arange(48) % 7  # rows 0 to 6 among other rows
    assert program([IMAGES[others]], view_seeds(DIGESTS[others], 1))[0].tobytes() == first[others].tobytes()
    second = program([IMAGES], view_seeds(DIGESTS, 2))[0]
    apart = [not np.array_equal(one, other) for one, other in zip(first, second, strict=True)]
    assert np.mean(apart) > 0.2
    assert np.isfinite(first).all()


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_a_view_is_spread_as_keras_spreads_its_own(name: str) -> None:
    layer, many = layer_of(name), np.repeat(IMAGES[:1], 2048, axis=0)
    digests = np.random.default_rng(3).integers(0, 256, (2048, 32), np.uint8)
    from frostline_server.engine.views import compiled_views, view_seeds

    ours = compiled_views(model_of(layer))([many], view_seeds(digests, 1))[0]
    theirs = np.asarray(layer(many, training=True))
    assert ours.dtype == theirs.dtype
    spread = max(1.0, float(theirs.std(axis=0).max()))
    np.testing.assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), atol=0.15 * spread)
    np.testing.assert_allclose(ours.std(axis=0), theirs.std(axis=0), atol=0.15 * spread)


def test_a_flip_turns_about_half_of_the_rows_whole() -> None:
    flipped = views(model_of(layer_of("RandomFlip")))
    turned = [np.array_equal(row, image[:, ::-1]) for row, image in zip(flipped, IMAGES, strict=True)]
    same = [np.array_equal(row, image) for row, image in zip(flipped, IMAGES, strict=True)]
    assert np.all(np.array(turned) ^ np.array(same))
    assert 12 < sum(turned) < 36


def test_layers_of_other_seeds_draw_other_numbers() -> None:
    one, other = (views(model_of(layer_of("RandomBrightness", seed))) for seed in (1, 2))
    assert not np.array_equal(one, other)


def test_all_but_random_image_layers_stay_in_inference_mode() -> None:
    import keras

    norm = keras.layers.BatchNormalization()
    model = model_of(layer_of("RandomFlip"), norm, keras.layers.Dropout(0.9), keras.layers.GaussianNoise(0.9))
    norm.set_weights([np.full(3, value, np.float32) for value in (2.0, 1.0, 0.5, 4.0)])
    before = [np.array(weight) for weight in norm.weights]
    np.testing.assert_allclose(
        views(model), np.asarray(norm(views(model_of(layer_of("RandomFlip"))), training=False)), rtol=1e-5
    )
    assert all(np.array_equal(one, weight) for one, weight in zip(before, norm.weights, strict=True))


def test_what_lies_beside_a_random_layer_is_the_same_in_every_view() -> None:
    import keras

    from frostline_server.engine.views import compiled_views, view_seeds

    images = keras.Input(IMAGES.shape[1:])
    plain = keras.layers.Rescaling(0.5)(images)
    program = compiled_views(keras.Model(images, [plain, layer_of("RandomInvert")(plain)]))
    (one, drawn), (other, drawn_otherwise) = (program([IMAGES], view_seeds(DIGESTS, view)) for view in (1, 2))
    assert one.tobytes() == other.tobytes() == (IMAGES * 0.5).astype(np.float32).tobytes()
    assert not np.array_equal(drawn, drawn_otherwise)


def test_networks_of_all_random_layers_are_kept_and_exported_whole(tmp_path: Path) -> None:
    import keras

    from frostline_zoo.networks.build import build
    from frostline_zoo.networks.describe import describe
    from frostline_zoo.networks.export import export_network

    made = describe(model_of(*map(layer_of, sorted(ARGUMENTS))))
    network = build(made.manifest, made.blobs.__getitem__)
    assert describe(network.model).manifest.encode() == made.manifest.encode()
    export_network(network, "keras", tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert [type(layer).__name__ for layer in loaded.layers[1:]] == sorted(ARGUMENTS)
    assert np.asarray(loaded(IMAGES, training=False)).tobytes() == IMAGES.tobytes()


def splitmix64(state: int, number: int) -> int:
    """Returns output `number` (from 1) of SplitMix64 from a state."""
    z = (state + number * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def test_the_numbers_drawn_are_those_of_the_format() -> None:
    """docs/formats.md tells them; rows that were stored before a change of them would be taken for those after."""
    row = splitmix64(int.from_bytes(DIGESTS[0, :8].tobytes(), "little"), 3)
    layer = int.from_bytes(hashlib.sha256(b"RandomBrightness 5").digest()[:8], "little")
    fraction = (splitmix64(splitmix64(row ^ layer, 0), 1) >> 40) / 2**24
    made = views(model_of(layer_of("RandomBrightness")), view=3)[0]
    np.testing.assert_allclose(made, np.clip(IMAGES[0] + (fraction * 0.6 - 0.3) * 255, 0, 255), rtol=1e-5, atol=1e-3)
