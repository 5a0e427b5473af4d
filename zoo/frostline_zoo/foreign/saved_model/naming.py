"""Names of layers, out of the names of operations: their scopes, without what all of them share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile

from frostline_zoo.foreign.saved_model.values import Step

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_MAX_NAME = 150


def layer_names(steps: Sequence[Step], taken: set[str]) -> list[str]:
    """Returns a name for each step, none of them in `taken`.

    Keras opens a scope for each layer, within one for the model, and may number both: the model's is left out, and so
    is the number where the layer's variables are named without it.
    """
    prefix = _shared_prefix(steps)
    numbers = [_number(step) for step in steps]
    counted = Counter(number for number in numbers if number is not None)
    usual = max(counted, key=lambda number: counted[number], default="")
    shown = []
    for step, number in zip(steps, numbers, strict=True):
        number = usual if number is None else number
        shown.append(step.scope.removeprefix(prefix).removesuffix(number) if f"{step.scope}/" != prefix else "")
    names, used, named = [], set(taken), {""}
    for step, scope in zip(steps, shown, strict=True):
        names.append(_unique("/".join(filter(None, (scope, step.leaf))) if scope in named else scope, used))
        named.add(scope)
    return names


def _shared_prefix(steps: Sequence[Step]) -> str:
    """Returns the outer scopes, each with its slash, that all stand in: not those that a layer with weights is."""
    scopes = [step.scope.split("/") for step in steps if step.scope]
    own = [step.scope.split("/") for step in steps if step.scope and step.weights] or scopes
    columns = takewhile(lambda parts: len(set(parts)) == 1, zip(*scopes, strict=False))
    shared = [parts[0] for parts in columns][: max(min(map(len, own), default=0) - 1, 0)]
    return "".join(f"{part}/" for part in shared)


def _number(step: Step) -> str | None:
    """Returns what a scope has at its end and the owner of its variables has not: Keras 3's `_1`; None if unknown."""
    last = step.scope.rpartition("/")[2]
    for source in [source for value in step.weights.values() for source in value.sources]:
        own = source.rpartition("/")[0].rpartition("/")[2]
        rest = last.removeprefix(own)
        if own and last.startswith(own) and (not rest or re.fullmatch(r"_\d+", rest)):
            return rest
    return None


def _unique(name: str, used: set[str]) -> str:
    plain = _NOT_IN_NAMES.sub("_", name.replace("/", ".")).strip("_.-")[:_MAX_NAME].replace("..", "_") or "layer"
    candidate, count = plain, 0
    while candidate in used:
        count += 1
        candidate = f"{plain}_{count}"
    used.add(candidate)
    return candidate
