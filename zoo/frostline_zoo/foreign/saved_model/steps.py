"""The list of steps while a graph is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign.saved_model.graph import Node
from frostline_zoo.foreign.saved_model.values import Flow, Known, Side, Step

# Scopes that an operation, not a person, opens.
_WITHIN = re.compile(
    r"(Tensordot|batchnorm|convolution|depthwise|separable_conv[12]d|MaxPool[12]d|AvgPool[12]d|moments|Softmax|Reshape)"
    r"(_\d+)?"
)


class Steps:
    """Steps in the order in which they were added."""

    def __init__(self) -> None:
        self.all: list[Step] = []

    def add(
        self,
        node: Node,
        class_name: str,
        config: dict[str, Any],
        inputs: Sequence[Flow],
        shape: tuple[Side, ...],
        weights: Mapping[str, Known] | None = None,
        *,
        listed: bool = False,
    ) -> Flow:
        """Adds a step; `node` names it. Returns its output."""
        scope, leaf = scope_and_leaf(node.name)
        step = Step(scope, leaf, class_name, config, [x.step for x in inputs], shape, dict(weights or {}), listed)
        self.all.append(step)
        return Flow(step)

    def plain(self, x: Flow, node: Node) -> Flow:
        """Returns x as the graph sees it, in a shape of its own.

        Raises:
            InvalidError: it mixes the examples of a batch.
        """
        if not x.turned:
            return x
        if any(turn.kind != "expanded" for turn in x.turned):
            raise unsupported(node, "works on something that was gathered across examples")
        shape = x.shape
        if sum(side is None for side in shape[1:]) > 1:
            raise unsupported(node, "reshapes examples of no fixed size: give the network an input of one size")
        return self.add(
            node,
            "Reshape",
            {"target_shape": [-1 if side is None else side for side in shape[1:]]},
            [Flow(x.step)],
            shape,
        )


def scope_and_leaf(name: str) -> tuple[str, str]:
    """Returns the scope that people would name a layer by, and the rest of an operation's name."""
    parts = name.split("/")
    cut = len(parts) - 1
    while cut > 1 and _WITHIN.fullmatch(parts[cut - 1]):
        cut -= 1
    return "/".join(parts[:cut]), "_".join(parts[cut:])


def unsupported(node: Node, why: str) -> InvalidError:
    """Returns the refusal of an operation that no layers of Keras say."""
    text = f"the graph's {node.name[:120]!r}, a {node.op[:40]}, {why}: no layers of Keras do the same"
    return InvalidError(text, reason="UNSUPPORTED_OP", operation=node.op[:80])
