"""Reading JSON that people wrote: every refusal names the place, what stands there and what may stand there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from frostline_zoo.errors import InvalidError, NotFoundError

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """A value in a document, and where it stands there, as in `stages[0].freeze`."""

    value: Any
    path: str = ""

    def refuse(self, allowed: str) -> NoReturn:
        """Raises the InvalidError that says what may stand here."""
        shown = json.dumps(self.value, default=str)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        raise InvalidError(f"recipe: {self.path or 'it'} is {shown}: {allowed}", reason="BAD_RECIPE", key=self.path)

    def object(self, *keys: str) -> dict[str, Place]:
        """Returns what stands under each key that is there; no other than `keys` may be."""
        if not isinstance(self.value, dict):
            self.refuse(f"write an object with {', '.join(keys)}")
        for key in self.value:
            if key not in keys:
                path = self._below(key)
                raise InvalidError(f"recipe: {path} is unknown: use {', '.join(keys)}", reason="BAD_RECIPE", key=path)
        return {key: Place(value, self._below(key)) for key, value in self.value.items()}

    def required(self, fields: dict[str, Place], key: str) -> Place:
        """Returns the field under `key`, which must be there."""
        if key not in fields:
            path = self._below(key)
            raise InvalidError(f"recipe: {path} is missing", reason="BAD_RECIPE", key=path)
        return fields[key]

    def items(self, allowed: str, minimum: int = 0) -> list[Place]:
        """Returns the items of a list of at least `minimum`."""
        if not isinstance(self.value, list) or len(self.value) < minimum:
            self.refuse(allowed)
        return [Place(value, f"{self.path}[{index}]") for index, value in enumerate(self.value)]

    def text(self, allowed: str) -> str:
        """Returns a text that is not empty."""
        if not isinstance(self.value, str) or not self.value:
            self.refuse(allowed)
        return str(self.value)

    def layer(self) -> str | int:
        """Returns a layer's name, or its index."""
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            return self.value
        return self.text("write a layer's name, or its index")

    def truth(self) -> bool:
        """Returns true or false."""
        if not isinstance(self.value, bool):
            self.refuse("write true or false")
        return bool(self.value)

    def integer(self, minimum: int, maximum: int) -> int:
        """Returns an integer between the bounds, both included."""
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not minimum <= self.value <= maximum:
            self.refuse(f"write an integer from {minimum} to {maximum}")
        return int(self.value)

    def number(self, allowed: str, holds: Callable[[float], bool]) -> float:
        """Returns a finite number for which `holds`."""
        value = self.value
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not -sys.float_info.max <= value <= sys.float_info.max
            or not holds(value)
        ):
            self.refuse(allowed)
        return float(value)

    def _below(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


@contextmanager
def named_by(path: str) -> Iterator[None]:
    """Names the place in the recipe in what is refused of the thing that is named there."""
    try:
        yield
    except (InvalidError, NotFoundError) as refusal:
        told = {**refusal.metadata, "key": path}
        raise type(refusal)(f"recipe: {path}: {refusal.message}", reason=refusal.reason, **told) from refusal
