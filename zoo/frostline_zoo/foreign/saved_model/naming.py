"""Names of layers, out of the names of operations: their scopes, without what all of them share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from frostline_zoo.foreign.saved_model.values import Step

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_MAX_NAME = 150


def layer_names(steps: Sequence[Step], taken: set[str]) -> list[str]:
    """Returns a name for each step, none of them in `taken`.

    Keras opens a scope for each layer, within one for the model, and may number both: the model's is left out, and so
    is the number where the layer's variables are named without it.
    """
    scopes = [step.scope for step in steps]
    prefix = _shared_prefix([scope for scope in scopes if scope])
    number = _shared_number([step for step in steps if step.weights])
    shown = []
    for step in steps:
        scope = step.scope.removeprefix(prefix).removesuffix(number) if step.scope != prefix.rstrip("/") else ""
        shown.append(scope)
    counts = Counter(shown)
    names, used = [], set(taken)
    for step, scope in zip(steps, shown, strict=True):
        first = counts[scope] > 0
        counts[scope] = -1
        name = scope if scope and first else "/".join(filter(None, (scope, step.leaf)))
        names.append(_unique(name, used))
    return names


def _shared_prefix(scopes: list[str]) -> str:
    """Returns the outer scopes, each with its slash, that all others stand in."""
    if not scopes:
        return ""
    shared = scopes[0].split("/")[:-1]
    for scope in scopes[1:]:
        parts = scope.split("/")[:-1]
        same = [a == b for a, b in zip(shared, parts, strict=False)]
        shared = shared[: same.index(False) if False in same else len(same)]
    return "".join(f"{part}/" for part in shared)


def _shared_number(steps: list[Step]) -> str:
    """Returns what all scopes have at their end, and the owners of their variables have not: Keras 3's `_1`."""
    found = set()
    for step in steps:
        owners = {source.rpartition("/")[0] for value in step.weights.values() for source in value.sources}
        last = step.scope.rpartition("/")[2]
        for owner in owners:
            own = owner.rpartition("/")[2]
            found.add(last.removeprefix(own) if own and last.startswith(own) else None)
    number = found.pop() if len(found) == 1 else None
    return number if number and re.fullmatch(r"_\d+", number) else ""


def _unique(name: str, used: set[str]) -> str:
    plain = _NOT_IN_NAMES.sub("_", name.replace("/", ".")).strip("_.-")[:_MAX_NAME].replace("..", "_") or "layer"
    candidate, count = plain, 0
    while candidate in used:
        count += 1
        candidate = f"{plain}_{count}"
    used.add(candidate)
    return candidate
