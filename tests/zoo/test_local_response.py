"""Local response normalization in built-in layers, against NumPy: alone, and in a small AlexNet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_zoo.errors import InvalidError
from tests.zoo.caffe_samples import caffemodel, draft_of, prototxt
from tests.zoo.caffe_topologies import ALEXNET, ALEXNET_WEIGHTS
from tests.zoo.numpy_layers import across, within
from tests.zoo.onnx_samples import NEWEST, computed, imported, model, node, numbers
from tests.zoo.onnx_samples import draft_of as onnx_draft_of

pytestmark = pytest.mark.keras


@pytest.mark.parametrize("spread", [1e-3, 1.0, 300.0, 1e5])
@pytest.mark.parametrize(
    "values", [(5, 1e-4, 0.75, 1.0), (3, 2.0, 0.5, 2.0), (4, 5e-5, 0.75, 1e-6), (9, 1.0, 1.25, 7.0)]
)
def test_an_onnx_normalization_computes_its_definition(values: tuple[int, float, float, float], spread: float) -> None:
    size, alpha, beta, bias = values
    x = numbers(2, 7, 6, 5) * np.float32(spread)
    made = model([node("LRN", "x -> y", size=size, alpha=alpha, beta=beta, bias=bias)], x.shape)
    [found] = computed(onnx_draft_of(made), x)
    np.testing.assert_allclose(found, across(x, *values), rtol=1e-5)


@pytest.mark.parametrize(("shape", "opset"), [((2, 6, 9), 7), ((2, 6, 3, 4, 5), 13), ((1, 2, 3, 3), NEWEST)])
def test_it_takes_maps_of_any_rank_and_by_default_what_onnx_says(shape: tuple[int, ...], opset: int) -> None:
    x = numbers(*shape) * 100
    [found] = computed(onnx_draft_of(model([node("LRN", "x -> y", size=5)], shape, opset=opset)), x)
    np.testing.assert_allclose(found, across(x, 5, 1e-4, 0.75, 1.0), rtol=1e-5)


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        ("local_size: 3 alpha: 0.5 beta: 0.6 k: 2", lambda x: across(x, 3, 0.5, 0.6, 2.0)),
        ("", lambda x: across(x, 5, 1.0, 0.75, 1.0)),
        ("local_size: 3 alpha: 5e-05 beta: 0.75 norm_region: WITHIN_CHANNEL", lambda x: within(x, 3, 5e-5, 0.75)),
        ("local_size: 5 alpha: 0.5 norm_region: 1", lambda x: within(x, 5, 0.5, 0.75)),
    ],
)
def test_a_caffe_normalization_computes_its_definition(parameters: str, wanted: Any) -> None:
    x = numbers(2, 6, 7, 8) * 10
    [found] = computed(draft_of(prototxt(x.shape, f"LRN x -> y {{ lrn_param {{ {parameters} }} }}")), x)
    np.testing.assert_allclose(found, wanted(x), rtol=1e-5)


@pytest.mark.parametrize(
    "parameters", ["k: 0", "k: -1", "alpha: -1", "local_size: 4", "local_size: 0", "norm_region: 2"]
)
def test_a_normalization_that_could_divide_by_zero_is_refused(parameters: str) -> None:
    with pytest.raises(InvalidError, match=r"layer 'y' \(LRN\)"):
        draft_of(prototxt((1, 4, 5, 5), f"LRN x -> y {{ lrn_param {{ {parameters} }} }}"))


def small_alexnet() -> Any:
    return imported(draft_of(prototxt((1, 3, 31, 31), *ALEXNET), caffemodel(**ALEXNET_WEIGHTS)))


def test_plain_keras_loads_such_a_network_and_it_comes_back_as_it_was(tmp_path: Path) -> None:
    import keras

    from frostline_zoo.networks.export import export_network
    from frostline_zoo.networks.importer import import_network

    network, x = small_alexnet(), numbers(2, 31, 31, 3)
    export_network(network, "keras", tmp_path / "out.keras")
    loaded = keras.models.load_model(tmp_path / "out.keras")
    np.testing.assert_array_equal(loaded(x, training=False), network.model(x, training=False))
    assert import_network(tmp_path / "out.keras").manifest == network.manifest


def test_each_of_its_normalizations_is_eleven_layers_that_end_under_its_own_name() -> None:
    names = [layer.name for layer in small_alexnet().manifest.layers]
    assert names.index("n1") - names.index("n1_squares") == 10


def test_a_spectrogram_with_a_window_by_name_is_refused(tmp_path: Path) -> None:
    import keras

    from frostline_zoo.networks.importer import import_network

    sounds = keras.Sequential([keras.Input((64, 1)), keras.layers.STFTSpectrogram(frame_length=8, window="hann")])
    sounds.save(tmp_path / "sounds.keras")
    with pytest.raises(InvalidError, match="a window by its name is not supported: give its numbers, or null for none"):
        import_network(tmp_path / "sounds.keras")
