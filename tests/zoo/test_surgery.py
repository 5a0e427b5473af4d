"""Surgery on manifests: what it changes, what it leaves as it was, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frostline_zoo.digests import digest_of
from frostline_zoo.errors import InvalidError
from frostline_zoo.graph import cut_through, needed_part, subgraph
from frostline_zoo.identity import layer_digest, trunk_digests
from frostline_zoo.manifest import Call, Input, Layer, Manifest, Parameter, TensorRef
from frostline_zoo.surgery import below, dropped, inserted, layer_at, renamed, replaced, shown, with_input

Shapes = dict[TensorRef, tuple[int | None, ...]]
often = settings(max_examples=50, deadline=None, derandomize=True, database=None)


def layer(name: str, *calls: list[tuple[str, int]], weights: str = "", class_name: str = "Dense") -> Layer:
    blob = digest_of(weights.encode()) if weights else None
    parameters = (Parameter("kernel", (4, 4), "float32"),) if weights else ()
    refs = [[{"tensor": [below, index, 0]} for below, index in call] for call in calls]
    made = tuple(Call([listed[0] if len(listed) == 1 else listed]) for listed in refs)
    digest = layer_digest(class_name, {"units": 4}, blob)
    return Layer(name, class_name, {"units": 4}, digest, blob, parameters, True, made)


def dense(name: str, *feeds: str, weights: str | None = None) -> Layer:
    return layer(name, [(feed, 0) for feed in feeds], weights=name if weights is None else weights)


def network(*layers: Layer, outputs: tuple[str, ...]) -> Manifest:
    made = Manifest((Input("x", (4,), "float32"),), layers, tuple(TensorRef(name) for name in outputs))
    return needed_part(made)


def residual() -> Manifest:
    """x -> a -> b -> c -> add -> top, with a beside b and c."""
    add = dense("add", "a", "c", weights="")
    return network(dense("a", "x"), dense("b", "a"), dense("c", "b"), add, dense("top", "add"), outputs=("top",))


def no_shapes() -> Shapes:
    raise AssertionError("shapes are asked for where they decide nothing")


@st.composite
def networks(draw: st.DrawFn) -> Manifest:
    """Networks of up to nine layers with branches, joins and shared layers, whose tensors have one shape."""
    tensors, calls, weights = [("x", 0)], {}, {}
    for number in range(draw(st.integers(2, 9))):
        feeds = draw(st.lists(st.sampled_from(tensors), min_size=1, max_size=2))
        shared = [name for name, made in calls.items() if len(made[0]) == len(feeds)]
        name = draw(st.sampled_from([f"l{number}", *shared]))
        calls.setdefault(name, []).append(feeds)
        weights.setdefault(name, draw(st.sampled_from(["", name])))
        tensors.append((name, len(calls[name]) - 1))
    layers = [layer(name, *made, weights=weights[name]) for name, made in calls.items()]
    outputs = {tensors[-1], draw(st.sampled_from(tensors[1:]))}
    refs = tuple(TensorRef(*tensor) for tensor in sorted(outputs))
    return needed_part(Manifest((Input("x", (4,), "float32"),), tuple(layers), refs))


def a_layer(data: st.DataObject, manifest: Manifest) -> str:
    return data.draw(st.sampled_from([layer.name for layer in manifest.layers]))


def downstream(manifest: Manifest, name: str) -> set[str]:
    """The layers that the layer `name` has a part in, itself too."""
    found = {name}
    for _ in manifest.layers:
        found |= {
            each.name for each in manifest.layers for call in each.calls for ref in call.tensors() if ref.layer in found
        }
    return found


@often
@given(networks())
def test_surgery_that_says_nothing_changes_nothing(manifest: Manifest) -> None:
    assert dropped(manifest, (), no_shapes) == manifest
    assert renamed(manifest, {}) == manifest
    assert with_input(manifest, (4,)) == manifest


@often
@given(networks(), st.data())
def test_a_layer_put_in_and_taken_out_leaves_the_network_as_it_was(manifest: Manifest, data: st.DataObject) -> None:
    after = data.draw(st.sampled_from(["x", *(layer.name for layer in manifest.layers)]))
    assert dropped(inserted(manifest, after, dense("new")), ["new"], no_shapes) == manifest
    name = a_layer(data, manifest)
    same = manifest.layer(name)
    assert same is not None
    assert replaced(manifest, name, replace(same, name="other", calls=())) == manifest


@often
@given(networks(), st.data())
def test_renaming_changes_no_digest(manifest: Manifest, data: st.DataObject) -> None:
    names = {layer.name: f"r{layer.name}" for layer in manifest.layers if data.draw(st.booleans())}
    after = {ref._replace(layer=names.get(ref.layer, ref.layer)): x for ref, x in trunk_digests(manifest).items()}
    assert trunk_digests(renamed(manifest, names)) == after


@often
@given(networks(), st.data())
def test_surgery_on_a_renamed_network_gives_the_same_network_renamed(manifest: Manifest, data: st.DataObject) -> None:
    name = a_layer(data, manifest)
    names = {layer.name: f"r{layer.name}" for layer in manifest.layers}
    one = inserted(replaced(manifest, name, dense("new")), name, dense("behind"))
    other = inserted(replaced(renamed(manifest, names), names[name], dense("new")), names[name], dense("behind"))
    assert renamed(one, names) == other


@often
@given(networks(), st.data())
def test_layers_that_are_not_named_and_trunks_below_the_change_stay(manifest: Manifest, data: st.DataObject) -> None:
    name = a_layer(data, manifest)
    before = trunk_digests(manifest)
    for changed in (replaced(manifest, name, dense("new")), inserted(manifest, name, dense("new"))):
        others = [layer for layer in changed.layers if layer.name not in (name, "new")]
        assert {(layer.digest, layer.blob) for layer in others} <= {
            (each.digest, each.blob) for each in manifest.layers
        }
        low = {ref: x for ref, x in before.items() if ref.layer not in downstream(manifest, name)}
        assert {ref: trunk_digests(changed)[ref] for ref in low} == low


@often
@given(networks(), st.data())
def test_what_lies_below_new_layers_can_be_frozen_without_them(manifest: Manifest, data: st.DataObject) -> None:
    name = a_layer(data, manifest)
    manifest = replaced(manifest, name, dense("new"))
    frozen = below(manifest, {name})
    assert name not in cut_through(manifest, frozen).frozen
    assert cut_through(manifest, frozen).frozen == set(frozen)


def test_a_shared_layer_that_one_of_its_calls_puts_above_a_new_one_takes_along_what_it_feeds() -> None:
    twin = layer("twin", [("x", 0)], [("new", 0)], weights="twin")
    join = layer("join", [("low", 0), ("twin", 1)])
    shared = (dense("first", "x"), twin, dense("low", "twin"), dense("new", "first"), join)
    manifest = needed_part(Manifest((Input("x", (4,), "float32"),), shared, (TensorRef("join"),)))
    assert below(manifest, {"new"}) == ("first",)


def test_what_a_dropped_layer_fed_is_fed_by_what_fed_it() -> None:
    short = dropped(residual(), ["b"], no_shapes)
    assert [(each.name, each.calls[0].tensors()) for each in short.layers if each.name == "c"] == [
        ("c", [TensorRef("a")])
    ]


@pytest.mark.parametrize("branch", [["b", "c"], ["c"]])
def test_a_branch_is_dropped_with_its_join_and_the_other_branch_stands_for_it(branch: list[str]) -> None:
    straight = dropped(residual(), [*branch, "add"], no_shapes)
    assert straight == network(dense("a", "x"), dense("top", "a"), outputs=("top",))


def test_a_join_is_stood_for_by_the_one_input_of_its_output_shape() -> None:
    shapes: Shapes = {TensorRef("a"): (1, 4), TensorRef("c"): (8, 4), TensorRef("add"): (8, 4)}
    left = dropped(residual(), ["add"], lambda: shapes)
    assert [each.name for each in left.layers] == ["a", "b", "c", "top"]


@pytest.mark.parametrize(
    ("c", "said"),
    [((4,), r"'add' makes \(4\) of 'a' \(4\), 'c' \(4\), any of which"), ((9,), r"\(9\).*, none of which could stand")],
)
def test_a_join_that_no_single_input_can_stand_for_is_refused_with_all_shapes(c: tuple[int], said: str) -> None:
    made = (4,) if c == (4,) else (5,)
    shapes: Shapes = {TensorRef("a"): (4,), TensorRef("c"): c, TensorRef("add"): made}
    with pytest.raises(InvalidError, match=said) as refused:
        dropped(residual(), ["add"], lambda: shapes)
    assert refused.value.reason == "SHAPE_MISMATCH"


def test_dropping_everything_is_refused() -> None:
    with pytest.raises(InvalidError, match="nothing is left of the network without 'a', 'b'"):
        dropped(network(dense("a", "x"), dense("b", "a"), outputs=("b",)), ["a", "b"], no_shapes)


def test_a_layer_of_which_several_outputs_are_used_is_neither_dropped_nor_followed() -> None:
    top = replace(dense("top", "lstm"), calls=(Call([{"tensor": ["lstm", 0, 1]}]),))
    states = network(dense("lstm", "x"), top, outputs=("top",))
    with pytest.raises(InvalidError, match="'lstm' has several outputs"):
        dropped(states, ["lstm"], no_shapes)
    with pytest.raises(InvalidError, match="'lstm' has several outputs"):
        inserted(states, "lstm", dense("new"))


def test_a_shared_layer_is_replaced_in_all_its_calls_and_followed_behind_each() -> None:
    twin = layer("twin", [("x", 0)], [("a", 0)], weights="twin")
    inputs = (Input("x", (4,), "float32"),)
    shared = needed_part(Manifest(inputs, (twin, dense("a", "twin")), (TensorRef("twin", 1),)))
    assert len(replaced(shared, "twin", dense("new")).layers[0].calls) == 2
    behind = inserted(shared, "twin", dense("new")).layer("new")
    assert behind is not None
    assert [call.tensors() for call in behind.calls] == [[TensorRef("twin", 0)], [TensorRef("twin", 1)]]


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(InvalidError, match="two layers would be named 'a'"):
        inserted(residual(), "b", dense("a"))
    with pytest.raises(InvalidError, match="two layers would be named 'x'"):
        renamed(residual(), {"b": "x"})
    assert renamed(residual(), {"b": "c", "c": "b"}).layer("top") is not None


def test_layers_go_by_index_from_both_ends() -> None:
    assert [layer_at(residual(), place).name for place in (0, -1, "b")] == ["a", "top", "b"]
    with pytest.raises(InvalidError, match="has 5 layers, and none at 5: write an index from -5 to 4"):
        layer_at(residual(), 5)
    with pytest.raises(InvalidError, match="'7' in quotes for the layer of that name"):
        layer_at(renamed(residual(), {"b": "7"}), 7)


def test_a_part_through_several_layers_has_their_outputs_in_that_order() -> None:
    assert subgraph(residual(), "c", "a").outputs == (TensorRef("c"), TensorRef("a"))


def test_an_input_of_another_rank_is_refused_with_both_shapes() -> None:
    with pytest.raises(InvalidError, match=r"input is \(4\), and \(8, 8, 3\) has another number of sides"):
        with_input(residual(), (8, 8, 3))
    assert shown((None, 3)) == "(any, 3)"


def test_origins_stay_in_the_manifest_and_a_manifest_without_them_has_the_bytes_it_always_had() -> None:
    taken = replace(residual(), origins={"b": digest_of(b"another version")})
    assert Manifest.decode(taken.encode()) == taken
    assert b"origins" not in residual().encode()
    assert renamed(taken, {"b": "new"}).origins == {"new": digest_of(b"another version")}
