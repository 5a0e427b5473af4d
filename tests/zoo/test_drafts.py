"""Drafts, which nobody trusts: built from the allow-list, or refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from frostline_zoo.errors import ZooError
from frostline_zoo.foreign.draft import Draft, DraftLayer, Report
from frostline_zoo.manifest import Call, Input, TensorRef

pytestmark = pytest.mark.keras
ON_X = (Call([{"tensor": ["x", 0, 0]}]),)
KERNEL, BIAS = np.ones((4, 3), np.float32), np.zeros(3, np.float32)
DENSE = DraftLayer("d", "Dense", {"units": 3}, ON_X, (KERNEL, BIAS))


def draft(*layers: DraftLayer, output: TensorRef | None = None) -> Draft:
    outputs = (output or TensorRef(layers[-1].name),)
    return Draft((Input("x", (4,), "float32"),), layers, outputs, Report())


def refusal(made: Draft) -> tuple[str, str]:
    from frostline_zoo.networks.drafts import build_draft

    with pytest.raises(ZooError) as refused:
        build_draft(made)
    return refused.value.reason, refused.value.message


def test_layers_may_come_in_any_order_and_what_no_output_needs_is_left_out() -> None:
    from frostline_zoo.networks.describe import describe
    from frostline_zoo.networks.drafts import build_draft

    above = DraftLayer("r", "ReLU", {}, (Call([{"tensor": ["d", 0, 0]}]),))
    idle = replace(DENSE, name="idle")
    model, values = build_draft(draft(above, idle, DENSE, output=TensorRef("r")))
    described = describe(model, value_of=values.of)
    assert [layer.name for layer in described.manifest.layers] == ["d", "r"]


def test_weights_of_another_shape_are_refused_with_both_shapes() -> None:
    reason, message = refusal(draft(replace(DENSE, weights=(KERNEL.T, BIAS))))
    assert reason == "BAD_WEIGHTS"
    assert "'d'" in message
    assert "(4, 3)" in message
    assert "(3, 4)" in message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights": (KERNEL,)}, "BAD_WEIGHTS"),
        ({"weights": (KERNEL, BIAS, BIAS)}, "BAD_WEIGHTS"),
        ({"class_name": "Lambda", "config": {"function": "os.system"}}, "UNSAFE_LAYER"),
        ({"config": {"units": 3, "activation": "os.system"}}, "UNSAFE_LAYER"),
        ({"config": {"units": -3}}, "BAD_CONFIG"),
        ({"config": {"units": True}}, "BAD_CONFIG"),
        ({"config": {"units": 268_000_000}}, "LIMIT_PARAMS"),
        ({"name": "../d"}, "BAD_NAME"),
        ({"name": "x"}, "BAD_GRAPH"),
        ({"calls": (Call([{"tensor": ["ghost", 0, 0]}]),)}, "BAD_GRAPH"),
        ({"calls": (Call([{"tensor": ["d", 0, 0]}]),)}, "BAD_GRAPH"),
        ({"calls": (Call([]),)}, "BAD_SHAPE"),
    ],
)
def test_a_draft_that_does_not_hold_together_is_refused(changes: dict[str, Any], reason: str) -> None:
    assert refusal(draft(replace(DENSE, **changes)))[0] == reason


def deep(count: int) -> Draft:
    """Returns a draft of so many layers, each on the one before."""
    names = ["x", *(f"r{at}" for at in range(count))]
    return draft(*(DraftLayer(own, "ReLU", {}, (Call([{"tensor": [below, 0, 0]}]),)) for below, own in pairwise(names)))


def test_what_is_too_deep_to_be_connected_is_refused_before_it_is_built() -> None:
    from frostline_zoo.networks.drafts import MAX_DEPTH, build_draft

    assert len(build_draft(deep(MAX_DEPTH))[0].layers) == MAX_DEPTH + 1
    reason, message = refusal(deep(MAX_DEPTH + 1))
    assert (reason, message.startswith("the network has more than 900 layers one on the other")) == (
        "LIMIT_LAYERS",
        True,
    )
