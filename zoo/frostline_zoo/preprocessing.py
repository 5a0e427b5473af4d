"""Preprocessing: how an example becomes a network's input. It is part of the trunk digest."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Self

from frostline_zoo.errors import InvalidError

INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "area", "lanczos")
_LARGEST = sys.float_info.max


@dataclass(frozen=True)
class Preprocessing:
    """How an example becomes an input: decoded and resized where it is an image, then `value * scale + offset`.

    Attributes:
        scale: one factor, or one for each channel.
        offset: one summand, or one for each channel, in the network's units.
        interpolation: how an image of another size is resized to the input's height and width.
    """

    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0
    interpolation: str = "bilinear"

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form that manifests hold."""
        return {"scale": _listed(self.scale), "offset": _listed(self.offset), "interpolation": self.interpolation}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Reads the JSON form; keys left out have their defaults.

        Raises:
            InvalidError: a key is unknown, or a value is not of its kind.
        """
        if not isinstance(value, dict):
            raise InvalidError("preprocessing must be an object with scale, offset and interpolation")
        unknown = sorted(set(value) - {"scale", "offset", "interpolation"})
        if unknown:
            raise InvalidError(f"preprocessing.{unknown[0]} is unknown: use scale, offset, interpolation")
        interpolation = value.get("interpolation", "bilinear")
        if interpolation not in INTERPOLATIONS:
            raise InvalidError(
                f"preprocessing.interpolation {interpolation!r} is unknown: use {', '.join(INTERPOLATIONS)}"
            )
        return cls(
            _number("scale", value.get("scale", 1.0)), _number("offset", value.get("offset", 0.0)), interpolation
        )


def _listed(value: float | tuple[float, ...]) -> float | list[float]:
    return list(value) if isinstance(value, tuple) else value


def _number(key: str, value: Any) -> float | tuple[float, ...]:
    numbers = value if isinstance(value, list) else [value]
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= _LARGEST:
            raise InvalidError(f"preprocessing.{key} must be a number or a list of numbers, one a channel")
    if not numbers:
        raise InvalidError(f"preprocessing.{key} must not be an empty list")
    return tuple(float(number) for number in numbers) if isinstance(value, list) else float(value)
