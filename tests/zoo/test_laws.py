"""Laws 1 and 2, and the round trip, over generated networks: chains, branches, shared layers, several inputs and
outputs, nested models.

All tensors of a generated network have one shape, so that any layer may follow any other and be called again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frostline_zoo.errors import InvalidError
from frostline_zoo.graph import cut_through, subgraph
from frostline_zoo.identity import trunk_digests
from frostline_zoo.manifest import Layer, Manifest, TensorRef

pytestmark = pytest.mark.keras

few = settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
VECTORS, IMAGES = (4,), (5, 5, 2)


@dataclass(frozen=True)
class Plan:
    """How to make a network: each step a kind of layer and the numbers of the tensors it is called on.

    What nothing is called on is an output; so are the tensors numbered in `outputs`.
    """

    shape: tuple[int, ...]
    inputs: int
    steps: tuple[tuple[str, int, int], ...]
    outputs: tuple[int, ...]
    seed: int


KINDS = ("weights", "weights", "norm", "drop", "draw", "half", "act", "add", "join", "again", "inner", "sequence")


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    inputs = draw(st.integers(1, 2))
    steps = draw(
        st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=7)
    )
    outputs = draw(st.lists(st.integers(0, 9), min_size=0, max_size=2))
    shape = draw(st.sampled_from([VECTORS, IMAGES]))
    return Plan(shape, inputs, tuple(steps), tuple(outputs), draw(st.integers(0, 2)))


def made(plan: Plan) -> Any:
    """Returns the Keras model of a plan."""
    import keras

    tensors = [keras.Input(plan.shape, name=f"input{at}") for at in range(plan.inputs)]
    layers: list[Any] = []
    for kind, one, other in plan.steps:
        first, second = tensors[one % len(tensors)], tensors[other % len(tensors)]
        if kind == "add":
            tensors.append(keras.layers.Add()([first, second]))
        elif kind == "join":
            tensors.append(weighted(plan)(keras.layers.Concatenate()([first, second])))
        elif kind == "half":  # what does nothing else in inference mode rounds here
            tensors.append(keras.layers.Dropout(0.3)(keras.layers.Dropout(0.3, dtype="float16")(first)))
        elif kind == "again" and layers:
            tensors.append(layers[other % len(layers)](first))
        elif kind in ("inner", "sequence"):
            inner = nested(plan, functional=kind == "inner")
            for outer in (first, second)[: 1 + other % 2]:
                made_by_it = keras.tree.flatten(inner(outer))
                tensors.extend(made_by_it[-1 - one % 2 :])  # an inner model's output may go unused
        else:
            layers.append(simple(kind, plan))
            tensors.append(layers[-1](first))
    ends = [at for at, tensor in enumerate(tensors) if not is_used(tensor)]
    outputs = dict.fromkeys([*ends, *(at % len(tensors) for at in plan.outputs)])
    model = keras.Model(tensors[: plan.inputs], [tensors[at] for at in outputs if at >= plan.inputs])
    fill_weights(model, plan.seed)
    return model


def is_used(tensor: Any) -> bool:
    nodes = tensor._keras_history.operation._outbound_nodes
    return any(each is tensor for node in nodes for each in node.input_tensors)


def weighted(plan: Plan) -> Any:
    import keras

    return (
        keras.layers.Dense(4) if plan.shape == VECTORS else keras.layers.Conv2D(2, 3, padding="same", activation="tanh")
    )


def simple(kind: str, plan: Plan) -> Any:
    import keras

    if kind == "norm":
        return keras.layers.BatchNormalization()
    if kind == "drop":
        return keras.layers.Dropout(0.3)
    if kind == "draw":
        noise = keras.layers.GaussianNoise(0.3)
        return keras.layers.RandomRotation(0.2, seed=plan.seed) if plan.shape == IMAGES else noise
    return keras.layers.Activation("relu") if kind == "act" else weighted(plan)


def nested(plan: Plan, *, functional: bool) -> Any:
    """A model with a branch: with two outputs, or with one and in a sequential model."""
    import keras

    entry = keras.Input(plan.shape)
    low = weighted(plan)(entry)
    top = keras.layers.Add()([low, entry])
    if functional:
        return keras.Model(entry, [weighted(plan)(low), top])
    inner = keras.Model(entry, top)
    return keras.Sequential([keras.Input(plan.shape), inner, keras.layers.Activation("sigmoid")])


def fill_weights(model: Any, seed: int) -> None:
    numbers = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(numbers.uniform(0.1, 1.0, tuple(variable.shape)))


def examples(manifest: Manifest) -> list[np.ndarray[Any, Any]]:
    """Input `n` of a network is always fed the same rows."""
    return [
        np.random.default_rng(at).uniform(-1, 1, (3, *entry.shape)).astype("float32")
        for at, entry in enumerate(manifest.inputs)
    ]


def outputs_of(model: Any, x: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    import keras

    given = x[0] if len(x) == 1 else x
    return [np.asarray(each) for each in keras.tree.flatten(model(given, training=False))]


def described(model: Any) -> Any:
    from frostline_zoo.networks.describe import describe

    return describe(model)


def built(description: Any) -> Any:
    from frostline_zoo.networks.build import build

    return build(description.manifest, description.blobs.__getitem__)


def every_tensor(network: Any) -> Iterator[tuple[TensorRef, np.ndarray[Any, Any]]]:
    import keras

    refs = list(network.tensors)
    model = keras.Model(network.model.inputs, [network.tensors[ref] for ref in refs])
    yield from zip(refs, outputs_of(model, examples(network.manifest)), strict=True)


def above(manifest: Manifest, name: str) -> set[str]:
    """Returns a layer and all that is made of its outputs."""
    found = {name}
    for _ in manifest.layers:
        for layer in manifest.layers:
            if any(ref.layer in found for call in layer.calls for ref in call.tensors()):
                found.add(layer.name)
    return found


SEEN: dict[str, np.ndarray[Any, Any]] = {}


@few
@given(plans())
def test_equal_trunk_digests_are_equal_outputs_over_all_networks(plan: Plan) -> None:
    network = built(described(made(plan)))
    digests = trunk_digests(network.manifest)
    for ref, value in every_tensor(network):
        np.testing.assert_allclose(value, SEEN.setdefault(digests[ref], value), rtol=1e-6, atol=1e-6)


@few
@given(plans(), st.randoms(use_true_random=False))
def test_one_weight_apart_is_another_digest_here_and_above_and_nowhere_else(plan: Plan, chance: random.Random) -> None:
    model = made(plan)
    before = described(model).manifest
    network = built(described(model))
    heavy = [name for name, layer in network.layers.items() if layer.weights]
    if not heavy:
        return
    name = chance.choice(heavy)
    variable = chance.choice(network.layers[name].weights)
    value = np.array(variable)
    value.reshape(-1)[chance.randrange(value.size)] += 1e-3
    variable.assign(value)
    after = described(network.model).manifest
    one, other = trunk_digests(before), trunk_digests(after)
    changed = {ref for ref in one if one[ref] != other[ref]}
    everywhere = above(before, name)
    assert {ref.layer for ref in changed} == everywhere
    assert all(ref in changed for ref in one if ref.layer == name)


CHANGES: dict[str, dict[str, Any]] = {
    "Dense": {"activation": "tanh"},
    "Conv2D": {"strides": [2, 2]},
    "Activation": {"activation": "softplus"},
    "BatchNormalization": {"epsilon": 0.1},
}


@few
@given(plans(), st.randoms(use_true_random=False))
def test_one_stride_or_activation_apart_is_another_digest(plan: Plan, chance: random.Random) -> None:
    from frostline_zoo.identity import layer_digest

    manifest = described(made(plan)).manifest
    changeable = [layer for layer in manifest.layers if layer.class_name in CHANGES]
    if not changeable:
        return
    layer = chance.choice(changeable)
    config = {**layer.config, **CHANGES[layer.class_name]}
    changed = replace(layer, config=config, digest=layer_digest(layer.class_name, config, layer.blob))
    after = replace(manifest, layers=tuple(changed if each is layer else each for each in manifest.layers))
    one, other = trunk_digests(manifest), trunk_digests(after)
    assert {ref.layer for ref in one if one[ref] != other[ref]} == above(manifest, layer.name)


def in_other_words(manifest: Manifest) -> Manifest:
    """The same network with other names, flags, initializers, regularizers and dropout rates."""
    names = [entry.name for entry in manifest.inputs] + [layer.name for layer in manifest.layers]
    renamed = {name: f"n{at}" for at, name in enumerate(names)}

    def rewritten(layer: Layer) -> dict[str, Any]:
        config = dict(layer.config)
        if "kernel_initializer" in config:
            config["kernel_initializer"] = {"class_name": "Zeros", "config": {}}
            config["kernel_regularizer"] = {"class_name": "L2", "config": {"l2": 0.5}}
        if "rate" in config:
            config["rate"] = 0.9
        if "seed" in config:
            config["seed"] = 9
        return config

    value = json.loads(manifest.encode())
    for layer, written in zip(manifest.layers, value["layers"], strict=True):
        written |= {"name": renamed[layer.name], "config": rewritten(layer), "trainable": not layer.trainable}
    text = json.dumps(value)
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(f'["{name}", ', f'["{renamed[name]}", ')
    value = json.loads(text)
    for entry in value["inputs"]:
        entry["name"] = renamed[entry["name"]]
    return Manifest.decode(json.dumps(value).encode())


@few
@given(plans())
def test_names_flags_and_initializers_change_no_digest(plan: Plan) -> None:
    from frostline_zoo.networks.build import build

    description = described(made(plan))
    other = described(build(in_other_words(description.manifest), description.blobs.__getitem__).model).manifest
    assert {layer.name for layer in other.layers}.isdisjoint(layer.name for layer in description.manifest.layers)
    before, after = trunk_digests(description.manifest), trunk_digests(other)
    assert [before[ref] for ref in description.manifest.outputs] == [after[ref] for ref in other.outputs]
    assert sorted(before.values()) == sorted(after.values())


@few
@given(plans(), st.randoms(use_true_random=False))
def test_the_head_of_the_trunk_is_the_network_at_every_legal_cut(plan: Plan, chance: random.Random) -> None:
    """At every layer, and at some cuts that take two or three layers to say."""
    from frostline_zoo.networks.split import split

    network = built(described(made(plan)))
    layers = [layer.name for layer in network.manifest.layers]
    several = [chance.sample(layers, min(len(layers), size)) for size in (2, 2, 3, 3)]
    x = examples(network.manifest)
    expected = outputs_of(network.model, x)
    for names in [[], *([name] for name in layers), *several]:
        try:
            cut = cut_through(network.manifest, names)
        except InvalidError:
            continue
        parts = split(network, cut)
        index = {entry.name: at for at, entry in enumerate(network.manifest.inputs)}
        crossing = outputs_of(parts.trunk, x) if parts.trunk else [x[index[ref.layer]] for ref in cut.frontier]
        assert len(crossing) == len(cut.frontier)
        for one, other in zip(outputs_of(parts.head, crossing), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@few
@given(plans())
def test_a_network_built_from_its_description_is_described_the_same_byte_for_byte(plan: Plan) -> None:
    model = made(plan)
    first = described(model)
    network = built(first)
    again = described(network.model)
    assert again.manifest.encode() == first.manifest.encode()
    assert again.blobs == first.blobs
    x = examples(first.manifest)
    for one, other in zip(outputs_of(network.model, x), outputs_of(model, x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@few
@given(plans())
def test_the_part_through_a_layer_keeps_its_trunk_digest(plan: Plan) -> None:
    description = described(made(plan))
    whole = trunk_digests(description.manifest)
    for layer in description.manifest.layers:
        if len(layer.calls) > 1 or description.manifest.inputs[1:]:
            continue
        part = subgraph(description.manifest, layer.name)
        assert trunk_digests(part)[part.outputs[0]] == whole[TensorRef(layer.name)]
        network = built(replace(description, manifest=part))
        assert described(network.model).manifest.encode() == part.encode()


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_what_keras_saves_is_imported_as_the_network_that_was_saved(suffix: str, tmp_path: Path) -> None:
    from frostline_zoo.networks.importer import import_network

    @few
    @given(plans())
    def saved_and_imported(plan: Plan) -> None:
        model = made(plan)
        path = tmp_path / f"network.{suffix}"
        model.save(path)
        imported, expected = import_network(path), described(model)
        assert imported.manifest.encode() == expected.manifest.encode()
        assert imported.blobs == expected.blobs

    saved_and_imported()


@few
@given(plans())
def test_plain_keras_loads_an_export_and_computes_the_same(
    tmp_path_factory: pytest.TempPathFactory, plan: Plan
) -> None:
    import keras

    from frostline_zoo.networks.export import export_network

    network = built(described(made(plan)))
    path = tmp_path_factory.mktemp("export") / "network.keras"
    export_network(network, "keras", path)
    x = examples(network.manifest)
    loaded = outputs_of(keras.models.load_model(path), x)
    for one, other in zip(loaded, outputs_of(network.model, x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
