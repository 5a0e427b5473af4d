"""The networks that docs/imports.md promises of Caffe compute what NumPy does."""

from __future__ import annotations

import numpy as np
import pytest

from tests.zoo.caffe_samples import caffemodel, draft_of, prototxt
from tests.zoo.caffe_topologies import NETWORKS
from tests.zoo.onnx_samples import computed, numbers


@pytest.mark.keras
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_the_caffe_zoo_computes_what_numpy_does(name: str) -> None:
    layers, weights, reference, side = NETWORKS[name]
    x = numbers(3, 3, side, side) * 5
    draft = draft_of(prototxt(x.shape, *layers), caffemodel(**weights))
    [found] = computed(draft, x)
    np.testing.assert_allclose(found, reference(x), rtol=1e-4, atol=1e-6)
    assert found.std() > 0.01  # it depends on what it was given
    assert draft.report.missing == []
    assert draft.report.unexpected == [f"{name}/{at}" for name in weights if "loss" in name for at in (0, 1)]
