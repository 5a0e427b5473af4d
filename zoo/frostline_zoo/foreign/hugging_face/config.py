"""A configuration: values of the kinds that are asked for, or a refusal that names the key."""

from __future__ import annotations

from typing import Any

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign.hugging_face.refusals import bad_config, unsupported

_LARGEST = 1 << 24


class Config:
    """An object of JSON, such as config.json. A key that is null counts as left out."""

    def __init__(self, values: dict[str, Any], place: str = "") -> None:
        self._values = values
        self._place = place

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def whole(self, key: str, default: int | None = None, *, least: int = 1) -> int:
        """Returns a whole number of at least `least`. Raises InvalidError."""
        value = self._value(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _LARGEST:
            raise self._wrong(key, f"a whole number from {least} on")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Returns a number from 0 to a million. Raises InvalidError."""
        value = self._value(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1e6:
            raise self._wrong(key, "a number from 0 on")
        return float(value)

    def rate(self, key: str, default: float = 0.0) -> float:
        """Returns a rate of dropout. Raises InvalidError."""
        value = self.number(key, default)
        if value >= 1:
            raise self._wrong(key, "a rate below 1")
        return value

    def word(self, key: str, default: str | None = None) -> str:
        """Returns a text. Raises InvalidError."""
        value = self._value(key, default)
        if not isinstance(value, str) or len(value) > 200:
            raise self._wrong(key, "a short text")
        return value

    def switch(self, key: str, default: bool) -> bool:
        """Returns a truth. Raises InvalidError."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def wholes(self, key: str, default: list[int] | None = None) -> list[int]:
        """Returns a list of up to 100 whole numbers from 1 on; one number is a list of it. Raises InvalidError."""
        value = self._value(key, default)
        numbers = value if isinstance(value, list) else [value]
        is_fit = all(isinstance(each, int) and not isinstance(each, bool) and 1 <= each <= _LARGEST for each in numbers)
        if not 0 < len(numbers) <= 100 or not is_fit:
            raise self._wrong(key, "whole numbers from 1 on")
        return numbers

    def pair(self, key: str, default: int | None = None) -> tuple[int, int]:
        """Returns a height and a width; one number is both. Raises InvalidError."""
        given = self.wholes(key, None if default is None else [default])
        if len(given) > 2:
            raise self._wrong(key, "a height and a width")
        return given[0], given[-1]

    def numbers(self, key: str) -> list[float] | None:
        """Returns a list of up to 100 numbers, none where the key is left out. Raises InvalidError."""
        value = self._values.get(key)
        if value is None:
            return None
        listed = value if isinstance(value, list) else [value]
        is_fit = all(
            isinstance(each, int | float) and not isinstance(each, bool) and abs(each) < 1e6 for each in listed
        )
        if not 0 < len(listed) <= 100 or not is_fit:
            raise self._wrong(key, "a list of numbers")
        return [float(each) for each in listed]

    def words(self, key: str) -> list[str]:
        """Returns a list of texts, empty where the key is left out. Raises InvalidError."""
        value = self._value(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self._wrong(key, "a list of texts")
        return value

    def part(self, key: str) -> Config:
        """Returns an object in it, empty where the key is left out. Raises InvalidError."""
        value = self._value(key, {})
        if not isinstance(value, dict):
            raise self._wrong(key, "an object")
        return Config(value, f"{self._place}{key}.")

    def is_part(self, key: str) -> bool:
        """Whether the key's value is an object."""
        return isinstance(self._values.get(key), dict)

    def keys(self) -> list[str]:
        """Returns the keys that are not null."""
        return [key for key in self._values if key in self]

    def require(self, key: str, default: Any, *wanted: Any) -> None:
        """Raises InvalidError unless the key has one of the values that are known here."""
        value = self._value(key, default)
        if value not in wanted:
            text = f"has {self._place}{key[:80]} {str(value)[:80]!r}, which no layers here say"
            raise unsupported(text, f"save it with {wanted[0]!r}, or as ONNX")

    def _value(self, key: str, default: Any) -> Any:
        value = self._values.get(key)
        return default if value is None else value

    def _wrong(self, key: str, wanted: str) -> InvalidError:
        has = "has no" if self._values.get(key) is None else "has another kind of"
        return bad_config(f"it {has} {self._place}{key}, which is {wanted}")
