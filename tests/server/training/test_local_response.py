"""AlexNet, small, fine-tuned: what its normalizations are written with stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from frostline_server.training.zoo import ZooAccess
from tests.zoo.caffe_samples import caffemodel, draft_of, prototxt
from tests.zoo.test_local_response import ALEXNET, ALEXNET_WEIGHTS

pytestmark = pytest.mark.keras


@pytest.mark.parametrize("freeze", ["none", {"through": "n1"}])
def test_a_normalization_of_a_network_that_thaws_stays_as_it_is(
    zoo: ZooAccess,
    push_rows: Callable[..., None],
    run: Callable[..., Any],
    bits: Callable[[str], dict[str, bytes]],
    freeze: Any,
) -> None:
    from frostline_zoo.networks.importer import take_in

    network = take_in(draft_of(prototxt((1, 3, 31, 31), *ALEXNET), caffemodel(**ALEXNET_WEIGHTS)))
    for content in network.blobs.values():
        zoo.blobs.put(content)
    with zoo.engine.begin() as connection:
        zoo.models.add_version(connection, "alexnet", network.manifest)
    labels = np.arange(20) % 2
    images = np.random.default_rng(5).normal(size=(20, 31, 31, 3)) * (1 + labels[:, None, None, None])
    push_rows("digits", images.astype(np.float32), labels)
    stages = [{"freeze": freeze, "optimizer": {"Adam": {"learning_rate": 0.001}}, "batch_size": 10, "epochs": 4}]
    head = [{"Dense": {"units": 2, "activation": "softmax", "name": "top"}}]
    outcome = run("tuned", base="alexnet", reuse={"through": "f3"}, head=head, stages=stages)
    losses = outcome.stages[0].history["loss"]
    assert losses[-1] < losses[0]
    before, after = bits("alexnet"), bits("tuned")
    assert {name: before[name] == after[name] for name in before if name in after} == {
        name: "_log/" in name or (freeze != "none" and name.startswith("c1/")) for name in before if name in after
    }
    assert len([name for name in after if "_log/" in name]) == 4
