"""Networks with several outputs: an example has one label, so one output trains, or a head on what they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from frostline_server.training.zoo import ZooAccess
from frostline_zoo.errors import InvalidError
from frostline_zoo.manifest import Manifest, TensorRef
from frostline_zoo.names import parse_model_reference

pytestmark = pytest.mark.keras
Runs = Callable[..., Any]
HEAD = [{"Dense": {"units": 5, "activation": "softmax", "name": "top"}}]
JOINED = [{"Concatenate": {}}, *HEAD]
STATES = {"LSTM": {"units": 3, "return_state": True}}
FREEZE = [{"freeze": {"through": "low"}, "epochs": 3}]


@pytest.fixture
def base(digits: Callable[..., Any], add_network: Callable[[str, Any], None], zoo: ZooAccess) -> Manifest:
    """x -> low -> side -> classes, with box on low."""
    import keras

    digits("digits")
    keras.utils.set_random_seed(1)
    x = keras.Input((16,), name="x")
    low = keras.layers.Dense(8, name="low", activation="elu")(x)
    side = keras.layers.Dense(8, name="side", activation="elu")(low)
    classes = keras.layers.Dense(5, name="classes", activation="softmax")(side)
    add_network("base", keras.Model(x, [classes, keras.layers.Dense(4, name="box")(low)]))
    return zoo.models.manifest_of(parse_model_reference("base"))[1]


def blobs(manifest: Manifest) -> dict[str, str | None]:
    return {layer.name: layer.blob for layer in manifest.layers}


def test_one_output_trains_where_reuse_names_it(base: Manifest, run: Runs) -> None:
    outcome = run("one", base="base", reuse={"through": "classes"}, stages=FREEZE)
    losses = outcome.stages[0].history["loss"]
    assert losses[-1] < losses[0]
    assert outcome.manifest.outputs == (TensorRef("classes"),)
    before, after = blobs(base), blobs(outcome.manifest)
    assert {name: after[name] == before[name] for name in after} == {"low": True, "side": False, "classes": False}


def test_a_head_goes_on_what_the_outputs_share_or_on_all_of_them(base: Manifest, run: Runs) -> None:
    first = run("shared", base="base", reuse={"through": "low"}, head=HEAD, stages=FREEZE)
    assert list(blobs(first.manifest)) == ["low", "top"]
    second = run("joined", base="base", reuse={"through": ["classes", "box"]}, head=JOINED, stages=FREEZE)
    assert list(blobs(second.manifest)) == ["low", "side", "classes", "box", "concatenate", "top"]
    assert (first.stages[0].rows_computed, second.stages[0].rows_computed) == (100, 0)


def test_without_a_word_a_head_goes_on_what_feeds_the_outputs(base: Manifest, run: Runs) -> None:
    outcome = run("below", base="base", head=JOINED, stages=FREEZE)
    assert list(blobs(outcome.manifest)) == ["low", "side", "concatenate", "top"]


def test_surgery_keeps_the_other_output_as_it_was(base: Manifest, run: Runs, zoo: ZooAccess) -> None:
    from frostline_zoo.networks.build import build

    reuse: dict[str, Any] = {"through": ["classes", "box"], "rename": {"box": "corners"}, "drop": ["side"]}
    reuse |= {"insert": [{"after": "low", "layer": {"Dropout": {"rate": 0.5}}}]}
    reuse |= {"replace": {"classes": {"Dense": {"units": 6}}}}
    outcome = run("changed", base="base", reuse=reuse, head=JOINED, stages=FREEZE[:1])
    assert list(blobs(outcome.manifest)) == ["low", "dropout", "classes", "corners", "concatenate", "top"]
    x = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    box = build(base, zoo.blobs.get).model(x, training=False)[1]
    untrained = run(
        "once", base="base", reuse=reuse, head=JOINED, stages=[{"freeze": {"through": "corners"}, "epochs": 1}]
    )
    network = build(untrained.manifest, zoo.blobs.get)
    corners = type(network.model)(network.model.inputs, network.tensors[TensorRef("corners")])
    np.testing.assert_array_equal(corners(x, training=False), box)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, r"of the layers classes, box, and an example has one label: name the one to train in reuse.through"),
        ({"reuse": {"through": ["box", "low"]}}, "of the layers box, low, and an example"),
        ({"reuse": {"rename": {"box": "corners"}}}, "of the layers classes, corners, and an example"),
        ({"head": HEAD, "reuse": {"through": ["classes", "box"]}}, r"such as Concatenate, or name one layer in reuse"),
        ({"reuse": {"through": "classes"}}, "freezing through classes is not a cut: .* say in freeze that less"),
        (
            {"reuse": {"through": "box"}, "stages": FREEZE, "loss": "MeanSquaredError"},
            r"have the shape \(1\), the network",
        ),
        ({"reuse": {"through": "low"}, "head": [{"Reshape": {"target_shape": [2, 4]}}, STATES]}, "puts out 3 tensors"),
    ],
)
def test_what_no_label_is_for_is_refused_with_the_mend(
    base: Manifest, run: Runs, keys: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidError, match=said):
        run("no", base="base", **keys)
