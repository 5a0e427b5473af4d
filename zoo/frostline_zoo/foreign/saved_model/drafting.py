"""Steps as a draft: layers with names, shared ones called several times, and the report of the variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign.draft import Draft, DraftLayer, Report
from frostline_zoo.foreign.saved_model.naming import layer_names
from frostline_zoo.foreign.saved_model.values import Known, Step
from frostline_zoo.manifest import Call, Input, TensorRef

_AXES = "abcdefgh"


def drafted(steps: Sequence[Step], inputs: Sequence[Input], given: Sequence[Step], outputs: Sequence[Step]) -> Draft:
    """Returns a draft.

    Args:
        steps: each after those it needs.
        inputs: the network's.
        given: the steps that stand for them.
        outputs: the steps that make its outputs.
    """
    report = Report()
    refs = {id(step): TensorRef(entry.name) for step, entry in zip(given, inputs, strict=True)}
    first_of: dict[Any, tuple[str, list[Call]]] = {}
    layers: list[DraftLayer] = []
    names = layer_names(steps, {entry.name for entry in inputs})
    for step, name in zip(steps, names, strict=True):
        _said(step)
        argument: Any = [{"tensor": list(refs[id(each)])} for each in step.inputs]
        call = Call([argument if step.listed else argument[0]])
        key = _identity(step)
        if key is not None and key in first_of:
            owner, calls = first_of[key]
            calls.append(call)
            refs[id(step)] = TensorRef(owner, len(calls) - 1)
            continue
        calls = [call]
        if key is not None:
            first_of[key] = name, calls
        refs[id(step)] = TensorRef(name)
        layers.append(DraftLayer(name, step.class_name, step.config, (), tuple(w.array for w in step.weights.values())))
        first_of.setdefault((name,), (name, calls))
        _report(report, name, step.weights)
    drawn = tuple(DraftLayer(e.name, e.class_name, e.config, tuple(first_of[e.name,][1]), e.weights) for e in layers)
    return Draft(tuple(inputs), drawn, tuple(refs[id(step)] for step in outputs), report)


def _said(step: Step) -> None:
    """Turns a factor or a summand for each channel, where nothing else took it, into a layer of its own."""
    if step.class_name == "BatchNormalization":
        _filled(step)
    if step.class_name in ("Below", "Shifted"):
        text = f"the graph's {step.scope}/{step.leaf} computes on integers: no layers of Keras do the same"
        raise InvalidError(text, reason="UNSUPPORTED_OP")
    if step.class_name not in ("Scale", "Bias"):
        return
    channels = int(step.shape[-1] or 0)
    axes = _AXES[: len(step.shape)]
    weights = {"kernel": step.weights.get("kernel", Known(np.ones(channels, np.float32))).flat()}
    config: dict[str, Any] = {
        "equation": f"{axes},{axes[-1]}->{axes}",
        "output_shape": list(step.shape[1:]),
        "bias_axes": axes[-1] if "bias" in step.weights else None,
    }
    if "bias" in step.weights:
        weights["bias"] = step.weights["bias"].flat()
    step.class_name, step.config, step.weights = "EinsumDense", config, weights


def _filled(step: Step) -> None:
    order = ("gamma",) * step.config["scale"] + ("beta",) * step.config["center"] + ("moving_mean", "moving_variance")
    step.weights = {key: step.weights[key] for key in order}


def _identity(step: Step) -> Any:
    """Returns what two calls of one layer have in common: the same variables, used the same way; None without any."""
    sources = tuple((key, value.sources) for key, value in step.weights.items())
    if not sources or not all(names for _, names in sources):
        return None
    return step.class_name, repr(sorted(step.config.items())), sources


def _report(report: Report, layer: str, weights: dict[str, Known]) -> None:
    for key, value in weights.items():
        ours = f"{layer}/{key}"
        for source in value.sources:
            if source == ours or source.replace("/", ".") == ours.replace("/", "."):
                report.matched.append(ours)
            else:
                report.renamed.append((source, ours))
        if not value.sources:
            report.notes.append(f"{ours} is a constant of the graph")
