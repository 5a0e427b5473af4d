"""Plain data that is not trusted, checked as it is taken apart: each function returns what it was given, or refuses."""

from __future__ import annotations

from typing import Any

from frostline_zoo.errors import InvalidError, on_one_line
from frostline_zoo.tensors import Array

_MAX_TEXT = 200


class Arrays:
    """Arrays that are taken by their numbers, and all of which shall be taken."""

    def __init__(self, arrays: list[Array]) -> None:
        self._arrays = arrays
        self._taken: set[int] = set()

    def take(self, number: Any) -> Array:
        """Returns the array of that number. Raises InvalidError."""
        at = integer(number)
        if at >= len(self._arrays):
            raise bad("it names an array that it has not")
        self._taken.add(at)
        return self._arrays[at]

    def check_all_taken(self) -> None:
        """Raises InvalidError where an array belongs to nothing."""
        if len(self._taken) != len(self._arrays):
            raise bad("it has an array that belongs to nothing")


def bad(what: str) -> InvalidError:
    """Returns the refusal of what the jail has sent."""
    text = f"the file made its reader send nonsense ({what}): the file is damaged, or made to do harm"
    return InvalidError(text, reason="PARSER_CRASHED")


def record(value: Any, *keys: str) -> dict[str, Any]:
    """Returns an object with exactly these keys."""
    if not isinstance(value, dict) or value.keys() != set(keys):
        raise bad(f"no object of {', '.join(keys)}")
    return value


def items(value: Any, most: int, least: int = 0) -> list[Any]:
    """Returns a list of so many items."""
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise bad(f"no list of {least} to {most} items")
    return value


def text(value: Any, longest: int = _MAX_TEXT) -> str:
    """Returns a text of at most `longest` characters."""
    if not isinstance(value, str) or len(value) > longest:
        raise bad("no text, or a very long one")
    return value


def as_line(value: str, longest: int) -> str:
    """Returns a text that a file may have a part in as `line` takes it: what cannot be shown is escaped."""
    return on_one_line(value)[:longest]


def line(value: Any, longest: int = _MAX_TEXT) -> str:
    """Returns a text that people are told: it moves no terminal's cursor, and any message can hold it."""
    if not text(value, longest).isprintable():
        raise bad("no line of text")
    return str(value)


def integer(value: Any, most: int = 1 << 48) -> int:
    """Returns a whole number from 0 to `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise bad("no whole number, or a very large one")
    return value


def plain_object(value: Any) -> dict[str, Any]:
    """Returns an object, whatever its keys."""
    if not isinstance(value, dict):
        raise bad("no object")
    return value
