"""Cuts and parts of a network's graph, on manifests written by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frostline_zoo.errors import InvalidError
from frostline_zoo.graph import Cut, calls_in_order, cut_through, in_order, subgraph
from frostline_zoo.identity import layer_digest
from frostline_zoo.manifest import Call, Input, Layer, Manifest, Parameter, TensorRef


def on(*tensors: str | TensorRef) -> Call:
    refs = [TensorRef(tensor) if isinstance(tensor, str) else tensor for tensor in tensors]
    listed = [{"tensor": list(ref)} for ref in refs]
    return Call([listed[0] if len(listed) == 1 else listed])


def layer(name: str, *calls: Call, class_name: str = "Dense", weights: bool = True, **config: object) -> Layer:
    parameters = (Parameter("kernel", (4, 4), "float32"),) if weights else ()
    return Layer(name, class_name, config, layer_digest(class_name, config, None), None, parameters, True, calls)


def network(*layers: Layer, outputs: tuple[str, ...], inputs: tuple[str, ...] = ("x",)) -> Manifest:
    entries = tuple(Input(name, (4,), "float32") for name in inputs)
    return Manifest(entries, layers, tuple(TensorRef(name) for name in outputs))


def chain() -> Manifest:
    return network(layer("a", on("x")), layer("b", on("a")), layer("c", on("b")), outputs=("c",))


def branches() -> Manifest:
    """x -> a -> b -> add -> top, with a beside b, and x itself beside both."""
    merged = layer("add", on("a", "b", "x"), class_name="Add", weights=False)
    return network(layer("a", on("x")), layer("b", on("a")), merged, layer("top", on("add")), outputs=("top",))


def test_a_cut_through_a_chain_freezes_what_is_below_and_passes_one_tensor() -> None:
    assert cut_through(chain(), ["b"]) == Cut(frozenset({"a", "b"}), (TensorRef("b"),))


def test_a_cut_through_nothing_passes_the_inputs() -> None:
    assert cut_through(branches(), []) == Cut(frozenset(), (TensorRef("x"),))


def test_a_cut_through_branches_passes_every_tensor_that_is_used_above() -> None:
    frontier = (TensorRef("x"), TensorRef("a"), TensorRef("b"))
    assert cut_through(branches(), ["b"]) == Cut(frozenset({"a", "b"}), frontier)


def test_a_frozen_output_passes_the_cut_untouched() -> None:
    both = network(layer("a", on("x")), layer("b", on("a")), outputs=("a", "b"))
    assert cut_through(both, ["a"]).frontier == (TensorRef("a"),)


def test_the_same_layers_named_in_another_order_make_the_same_cut() -> None:
    assert cut_through(branches(), ["b", "a"]) == cut_through(branches(), ["a", "b"])


def test_a_cut_through_the_output_is_refused_because_nothing_is_left_to_train() -> None:
    with pytest.raises(InvalidError, match="c is not a cut: nothing is left above it to train") as refused:
        cut_through(chain(), ["c"])
    assert refused.value.reason == "NOT_A_CUT"


def test_a_cut_that_leaves_only_layers_without_weights_is_refused() -> None:
    top = layer("soft", on("a"), class_name="Softmax", weights=False)
    with pytest.raises(InvalidError, match="nothing is left"):
        cut_through(network(layer("a", on("x")), top, outputs=("soft",)), ["a"])


def test_an_unknown_layer_is_refused_with_names_near_it() -> None:
    names = [f"conv2d_{number}" for number in range(3)]
    layers = [layer(name, on(below)) for name, below in zip(names, ["x", *names], strict=False)]
    convolutions = network(*layers, outputs=("conv2d_2",))
    with pytest.raises(InvalidError, match=r"no layer 'conv2d_9': did you mean conv2d_"):
        cut_through(convolutions, ["conv2d_9"])


def test_a_shared_layer_whose_other_input_is_frozen_too_is_below_the_cut() -> None:
    twin, first = layer("twin", on("x"), on("y")), layer("first", on("twin"))
    join = layer("join", on("first", TensorRef("twin", 1)), class_name="Add", weights=False)
    shared = network(twin, first, join, layer("top", on("join")), outputs=("top",), inputs=("x", "y"))
    assert cut_through(shared, ["first"]).frontier == (TensorRef("twin", 1), TensorRef("first"))


def test_a_frozen_layer_that_is_used_above_the_cut_is_refused() -> None:
    above = network(layer("a", on("x"), on("c")), layer("b", on("a")), layer("c", on("b")), outputs=("a",))
    with pytest.raises(InvalidError, match=r"'a' would be frozen but is also used above the cut, on the output of 'c'"):
        cut_through(replace(above, outputs=(TensorRef("a", 1),)), ["b"])


def test_a_shared_layer_without_weights_may_be_used_on_both_sides() -> None:
    relu = layer("relu", on("a"), on("b"), class_name="ReLU", weights=False)
    both = network(layer("a", on("x")), relu, layer("b", on("relu")), outputs=("relu",))
    both = replace(both, outputs=(TensorRef("relu", 1),))
    assert cut_through(both, ["a"]).frontier == (TensorRef("a"),)


def test_a_cut_that_a_mask_would_cross_is_refused_and_one_above_the_mask_is_not() -> None:
    words = layer("words", on("x"), class_name="Embedding", mask_zero=True)
    reads = layer("reads", on("words"), class_name="LSTM", return_sequences=False)
    text = network(words, reads, layer("top", on("reads")), outputs=("top",))
    with pytest.raises(InvalidError, match="a mask would cross the cut at layer 'words'"):
        cut_through(text, ["words"])
    assert cut_through(text, ["reads"]).frontier == (TensorRef("reads"),)


def test_a_graph_with_a_loop_is_refused() -> None:
    with pytest.raises(InvalidError, match="loop"):
        calls_in_order(network(layer("a", on("b")), layer("b", on("a")), outputs=("b",)))


def test_a_tensor_that_nothing_makes_is_refused() -> None:
    with pytest.raises(InvalidError, match="'ghost' is used, but nothing makes it"):
        calls_in_order(network(layer("a", on("ghost")), outputs=("a",)))


def test_a_chain_of_ten_thousand_layers_is_walked() -> None:
    names = [f"l{number}" for number in range(10_000)]
    layers = [layer(name, on(below)) for name, below in zip(names, ["x", *names], strict=False)]
    assert len(calls_in_order(network(*layers, outputs=(names[-1],)))) == 10_000


def test_the_part_through_a_layer_has_its_output_and_only_what_it_needs() -> None:
    part = subgraph(branches(), "b")
    assert [layer.name for layer in part.layers] == ["a", "b"]
    assert part.outputs == (TensorRef("b"),)


def test_the_part_without_the_output_layer_ends_in_what_went_into_it() -> None:
    assert subgraph(branches()).outputs == (TensorRef("add"),)


def test_inputs_that_a_part_does_not_need_are_left_out() -> None:
    two = network(layer("a", on("x")), layer("b", on("y")), outputs=("a", "b"), inputs=("x", "y"))
    assert [entry.name for entry in subgraph(two, "b").inputs] == ["y"]


def test_a_part_through_a_layer_with_several_outputs_is_refused() -> None:
    top = layer("top", on(TensorRef("lstm", 0, 1)))
    with pytest.raises(InvalidError, match="'lstm' has several outputs"):
        subgraph(network(layer("lstm", on("x"), class_name="LSTM"), top, outputs=("top",)), "lstm")


def test_a_part_of_a_network_that_is_its_output_layer_alone_is_refused() -> None:
    with pytest.raises(InvalidError, match="nothing is left"):
        subgraph(network(layer("a", on("x")), outputs=("a",)))


def test_calls_are_numbered_in_the_order_of_the_graph() -> None:
    """The same network, its shared layer's calls listed the other way round."""
    one = network(
        layer("a", on("x"), on("y")), layer("b", on("a", TensorRef("a", 1))), outputs=("b",), inputs=("x", "y")
    )
    two = network(
        layer("a", on("y"), on("x")), layer("b", on(TensorRef("a", 1), "a")), outputs=("b",), inputs=("x", "y")
    )
    assert in_order(two) == in_order(one)
