"""Surgery in recipes, run on real small networks: what is trained, what is shared with the base, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from frostline_server.training.zoo import ZooAccess
from frostline_zoo.errors import InvalidError
from frostline_zoo.graph import cut_through
from frostline_zoo.identity import trunk_digests
from frostline_zoo.manifest import Manifest, TensorRef
from frostline_zoo.names import parse_model_reference

pytestmark = pytest.mark.keras
Runs = Callable[..., Any]
Digits = Callable[..., tuple[np.ndarray, np.ndarray]]

HEAD = [{"Dense": {"units": 5, "activation": "softmax", "name": "top"}}]
ONCE = [{"epochs": 1}]


@pytest.fixture
def base(digits: Digits, add_network: Callable[[str, Any], None], zoo: ZooAccess) -> Manifest:
    """x -> a -> norm -> drop -> b -> c -> add -> top, with drop beside b and c."""
    import keras

    digits("digits")
    keras.utils.set_random_seed(1)
    x = keras.Input((16,), name="x")
    low = keras.layers.Dense(8, name="a", activation="elu")(x)
    low = keras.layers.Dropout(0.1, name="drop")(keras.layers.BatchNormalization(name="norm")(low))
    side = keras.layers.Dense(8, name="c")(keras.layers.Dense(8, name="b", activation="elu")(low))
    joined = keras.layers.Add(name="add")([low, side])
    add_network("base", keras.Model(x, keras.layers.Dense(5, name="top", activation="softmax")(joined)))
    return zoo.models.manifest_of(parse_model_reference("base"))[1]


def blobs(manifest: Manifest) -> dict[str, str | None]:
    return {layer.name: layer.blob for layer in manifest.layers}


def test_a_replaced_layer_trains_and_all_below_it_is_frozen_and_shared(base: Manifest, run: Runs) -> None:
    child = run("child", base="base", reuse={"replace": {"c": {"Dense": {"units": 8}}}}, stages=ONCE)
    kept = {name for name, blob in blobs(child.manifest).items() if blob and blob == blobs(base).get(name)}
    assert kept == {"a", "norm", "b"}
    assert child.stages[0].frozen_layer_count == 4
    plain = run("plain", base="base", reuse={"through": "drop"}, head=HEAD, stages=ONCE)
    assert plain.stages[0].frozen_layer_count == 3


def test_features_below_a_change_are_those_of_every_other_job_on_the_base(base: Manifest, run: Runs) -> None:
    freeze = [{"freeze": {"through": "norm"}, "epochs": 1}]
    first = run("first", base="base", reuse={"through": "drop"}, head=HEAD, stages=freeze)
    reuse = {"drop": ["b"], "insert": [{"after": "norm", "layer": {"Dropout": {"rate": 0.5}}}]}
    changed = run("changed", base="base", reuse=reuse, stages=freeze)
    assert (first.stages[0].rows_computed, changed.stages[0].rows_computed) == (100, 0)
    assert changed.stages[0].rows_reused == 100


def test_a_changed_network_trains_to_the_same_bits_cached_and_not(base: Manifest, run: Runs, bits: Any) -> None:
    reuse = {"through": "add", "drop": ["drop"], "replace": {"-3": {"Dense": {"units": 8}}}, "rename": {"b": "low"}}
    for name, cache in (("cached", None), ("uncached", False)):
        run(name, base="base", reuse=reuse, head=HEAD, cache=cache, stages=[{"epochs": 3}])
    assert bits("cached") == bits("uncached")
    assert {"low/kernel", "c/kernel", "top/kernel"} <= set(bits("cached"))


def test_a_layer_of_another_model_brings_its_weights_and_the_manifest_says_whose(
    base: Manifest, run: Runs, add_network: Callable[[str, Any], None], zoo: ZooAccess
) -> None:
    import keras

    add_network("other", keras.Sequential([keras.Input((8,)), keras.layers.Dense(8, name="mid")]))
    other = zoo.models.manifest_of(parse_model_reference("other"))[1]
    taken = {"from": "other", "layer": "mid"}
    reuse = {"through": "add", "replace": {"c": taken}, "insert": [{"after": "add", "layer": taken}]}
    child = run("child", base="base", reuse=reuse, head=HEAD, stages=ONCE).manifest
    assert child.origins == {"c": other.digest, "mid": other.digest}
    assert child.parent == base.digest
    assert blobs(child)["c"] == blobs(child)["mid"] == blobs(other)["mid"]


def test_renaming_layers_changes_no_digest_and_computes_nothing_anew(base: Manifest, run: Runs) -> None:
    run("plain", base="base", reuse={"through": "add"}, head=HEAD, stages=ONCE)
    reuse = {"through": "add", "rename": {"a": "low", "add": "joined"}}
    child = run("child", base="base", reuse=reuse, head=HEAD, stages=ONCE)
    assert trunk_digests(child.manifest)[TensorRef("joined")] == trunk_digests(base)[TensorRef("add")]
    assert child.stages[0].rows_computed == 0


def test_a_head_that_joins_goes_on_several_layers(base: Manifest, run: Runs) -> None:
    head = [{"Concatenate": {}}, *HEAD]
    child = run("child", base="base", reuse={"through": ["a", -2]}, head=head, stages=ONCE).manifest
    joined = child.layer("concatenate")
    assert joined is not None
    assert joined.calls[0].tensors() == [TensorRef("a"), TensorRef("add")]
    assert cut_through(child, ["a", "add"]).frozen == {"a", "norm", "drop", "b", "c", "add"}
    with pytest.raises(InvalidError, match=r"2 tensors of shapes \(8\), \(8\): begin the head with a layer that joins"):
        run("torn", base="base", reuse={"through": ["a", "add"]}, head=HEAD, stages=ONCE)


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        ({"from": "wide"}, r"'b' took \(9\), and does not fit on \(8\) from 'drop'"),
        ({"Dense": {"units": 3}}, r"'c' took \(8\), and does not fit on \(3\) from 'b'"),
    ],
)
def test_layers_that_do_not_fit_are_refused_with_the_shapes_on_both_sides(
    base: Manifest, run: Runs, add_network: Callable[[str, Any], None], taken: Any, said: str
) -> None:
    import keras

    add_network("wide", keras.Sequential([keras.Input((9,)), keras.layers.Dense(8, name="b")]))
    said = (
        r"'b' took \(9\), and does not fit on \(8\) from 'drop'"
        if "from" in taken
        else r"'c' took \(8\).* \(3\) from 'b'"
    )
    with pytest.raises(InvalidError, match=said) as refused:
        run("misfit", base="base", reuse={"replace": {"b": taken}}, stages=ONCE)
    assert refused.value.reason == "SHAPE_MISMATCH"


def test_a_new_layer_that_does_not_fit_is_refused_with_the_shape_it_is_put_on(base: Manifest, run: Runs) -> None:
    reuse = {"insert": [{"after": "a", "layer": {"Conv2D": {"filters": 2, "kernel_size": 3}}}]}
    with pytest.raises(InvalidError, match=r"'conv2d' is new, and does not fit on \(8\) from 'a'"):
        run("misfit", base="base", reuse=reuse, stages=ONCE)


@pytest.fixture
def pictures(push_rows: Callable[..., None], add_network: Callable[[str, Any], None]) -> None:
    """`free` takes any size, `flat` its own; the dataset `digits` holds images of (12, 12, 1)."""
    import keras

    chance = np.random.default_rng(0)
    push_rows("digits", chance.normal(size=(20, 12, 12, 1)).astype(np.float32), chance.integers(0, 5, 20))
    for name, last in (("free", keras.layers.GlobalAveragePooling2D()), ("flat", keras.layers.Flatten(name="flatten"))):
        image = keras.Input((8, 8, 1), name="image")
        made = last(keras.layers.Conv2D(3, 3, name="conv")(image))
        add_network(name, keras.Model(image, keras.layers.Dense(5, activation="softmax", name="top")(made)))


FROM_CONV = [{"freeze": {"through": "conv"}, "epochs": 1}]


def test_a_network_takes_images_of_another_size_where_its_layers_do(pictures: None, run: Runs) -> None:
    child = run("child", base="free", reuse={"input": {"shape": [12, 12, 1]}}, stages=FROM_CONV).manifest
    assert child.inputs[0].shape == (12, 12, 1)


def test_another_size_that_layers_do_not_take_is_refused_with_both_shapes_or_resized(pictures: None, run: Runs) -> None:
    changed = {"shape": [12, 12, 1]}
    with pytest.raises(InvalidError, match=r"'top' took \(108\), and does not fit on \(300\) from 'flatten'"):
        run("refused", base="flat", reuse={"input": changed}, stages=FROM_CONV)
    reuse = {"input": {**changed, "resize": "area"}}
    child = run("child", base="flat", reuse=reuse, stages=FROM_CONV).manifest
    assert (child.inputs[0].shape, child.preprocessing.interpolation) == ((8, 8, 1), "area")
    with pytest.raises(InvalidError, match=r"cannot make \(8, 8, 1\) of \(12, 12, 3\)"):
        run("colour", base="flat", reuse={"input": {"shape": [12, 12, 3], "resize": "area"}}, stages=FROM_CONV)
