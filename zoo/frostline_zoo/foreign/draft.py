"""Drafts: what a reader of a foreign format makes of a file, before anything of it is checked or built.

A draft is all that leaves the jail. It is not trusted: `networks.drafts` builds it layer by layer from the allow-list,
and every shape is held against what the layers' configurations ask for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from frostline_zoo.manifest import Call, Input, TensorRef
from frostline_zoo.preprocessing import Preprocessing
from frostline_zoo.tensors import Array


@dataclass(frozen=True)
class DraftLayer:
    """One layer, in Keras's terms.

    Attributes:
        name: unique in the draft.
        class_name: a Keras layer class.
        config: its Keras 3 configuration, without `name`; a key left out has Keras's default.
        calls: its uses, in order; tensors are named as in a manifest: {"tensor": [layer, call, output]}.
        weights: in the order of Keras's `layer.weights`, in Keras's layouts (channels last, kernels as Keras has them).
    """

    name: str
    class_name: str
    config: dict[str, Any]
    calls: tuple[Call, ...]
    weights: tuple[Array, ...] = ()


@dataclass
class Report:
    """What became of everything in a file; nothing is skipped in silence.

    Attributes:
        matched: parameters that were taken over under their own names.
        renamed: parameters that were taken over, (their name, ours).
        missing: parameters of ours that the file does not have.
        unexpected: what the file has and nothing of ours takes.
        differing: (name, their shape, our shape), not taken over.
        notes: a line for each other thing that was left out or changed, such as folded shape arithmetic.
    """

    matched: list[str] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    differing: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Draft:
    """One network: its inputs, its layers in any order that the graph allows, its outputs.

    `preprocessing` is what the file says of how an example becomes the input.
    """

    inputs: tuple[Input, ...]
    layers: tuple[DraftLayer, ...]
    outputs: tuple[TensorRef, ...]
    report: Report
    preprocessing: Preprocessing = Preprocessing()
