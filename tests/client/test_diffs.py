"""What two versions share, layer by layer."""

from __future__ import annotations

from frostline_client.diffs import diff_layers
from frostline_client.manifests import Layer


def network(**digests: str) -> tuple[Layer, ...]:
    return tuple(Layer(name, "Dense", {}, digest, None, 0, False) for name, digest in digests.items())


def rows(a: tuple[Layer, ...], b: tuple[Layer, ...]) -> list[tuple[str, str | None, str | None]]:
    return [(row.status, row.a and row.a.name, row.b and row.b.name) for row in diff_layers(a, b)]


def test_a_layer_that_computes_the_same_is_shared_under_any_name() -> None:
    assert rows(network(h1="1", out="2"), network(h1="1", top="2")) == [
        ("shared", "h1", "h1"),
        ("shared", "out", "top"),
    ]


def test_a_layer_of_the_same_name_that_computes_something_else_is_changed() -> None:
    assert rows(network(h1="1"), network(h1="2")) == [("changed", "h1", "h1")]


def test_what_only_one_of_them_has_is_added_or_removed() -> None:
    a, b = network(h1="1", out="2"), network(h1="1", head="3")
    assert rows(a, b) == [("shared", "h1", "h1"), ("added", None, "head"), ("removed", "out", None)]


def test_a_renamed_layer_takes_no_other_layers_like() -> None:
    assert rows(network(a="1", b="1"), network(new="1", b="1")) == [("shared", "a", "new"), ("shared", "b", "b")]


def test_layers_that_swap_their_weights_are_shared_crosswise() -> None:
    assert rows(network(a="1", b="2"), network(a="2", b="1")) == [("shared", "b", "a"), ("shared", "a", "b")]
