"""Maps of names: which array of a file goes to which parameter of ours, and with which of its axes where."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from frostline_zoo.errors import InvalidError

MAX_RULES = 10_000
_MAX_TEXT = 300


@dataclass(frozen=True)
class Rule:
    """One line of a map: arrays named as `pattern` go to `target`, or are left out where that is None.

    A `*` in the pattern stands for any text without `/`; those of the target stand for the same, in order.

    Attributes:
        pattern: their name.
        target: ours, `layer/parameter`.
        permute: which axis of theirs each axis of ours is; None where they are the same.
    """

    pattern: str
    target: str | None
    permute: tuple[int, ...] | None = None

    def is_for(self, name: str) -> bool:
        """Whether an array of that name is meant."""
        return self._found(name) is not None

    def target_of(self, name: str) -> str | None:
        """Returns where an array that is meant goes; None where it is left out."""
        found = self._found(name)
        if found is None or self.target is None:
            return None
        texts = iter(found.groups())
        return re.sub(r"\*", lambda _: next(texts, ""), self.target)

    def _found(self, name: str) -> re.Match[str] | None:
        parts = self.pattern.split("*")
        return re.fullmatch("([^/]*)".join(re.escape(part) for part in parts), name)


def rules_of(value: Any) -> tuple[Rule, ...]:
    """Returns a map as it is written: `{theirs: ours}`, `{theirs: {to: ours, permute: [1, 0]}}` or `{theirs: null}`.

    Raises:
        InvalidError: it is not written so (BAD_MAP).
    """
    if not isinstance(value, dict) or len(value) > MAX_RULES:
        raise _bad("it does not map their names to ours")
    return tuple(_rule(pattern, target) for pattern, target in value.items())


def _rule(pattern: Any, target: Any) -> Rule:
    permute = None
    if isinstance(target, dict) and target.keys() <= {"to", "permute"}:
        permute, target = target.get("permute"), target.get("to", "")
    if not isinstance(pattern, str) or not 0 < len(pattern) <= _MAX_TEXT or pattern.count("*") > 3:
        raise _bad("a name in it is no text, or has more than three *")
    if target is not None and (not isinstance(target, str) or not 0 < len(target) <= _MAX_TEXT):
        raise _bad(f"{pattern[:80]!r} goes to something that is no name: write layer/parameter")
    if permute is None:
        return Rule(pattern, target)
    axes = permute if isinstance(permute, list) else []
    if not axes or not all(type(axis) is int for axis in axes) or sorted(axes) != list(range(len(axes))):
        raise _bad(f"{pattern[:80]!r} has a permutation that is none: list every axis once, from 0 on")
    return Rule(pattern, target, tuple(axes))


def _bad(what: str) -> InvalidError:
    return InvalidError(f"the map of names cannot be used: {what}", reason="BAD_MAP")
