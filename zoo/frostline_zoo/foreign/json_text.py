"""JSON that came from outside: bounded before it is believed."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from frostline_zoo.errors import ExhaustedError, InvalidError

MAX_BYTES = 16 << 20
MAX_DEPTH = 100


def parsed(text: str | bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """Returns the value that a configuration's text writes.

    Raises:
        InvalidError: it is not JSON, or has a key twice (BAD_JSON), or is nested more than `max_depth` deep
            (LIMIT_DEPTH).
        ExhaustedError: it is longer than `max_bytes`.
    """
    if len(text) > max_bytes:
        raise ExhaustedError(f"the configuration is longer than {max_bytes >> 20} MiB", reason="LIMIT_INFLATE")
    deep = InvalidError(f"the configuration is nested more than {max_depth} deep", reason="LIMIT_DEPTH")
    try:
        value = json.loads(text, parse_constant=_refuse, object_pairs_hook=each_once)
    except RecursionError as error:
        raise deep from error
    except ValueError as error:
        raise InvalidError("the configuration is not JSON: save the network again", reason="BAD_JSON") from error
    level = [value]
    for _ in range(max_depth):
        level = [inner for outer in level if isinstance(outer, list | dict) for inner in _members(outer)]
        if not level:
            return value
    raise deep


def parsed_object(text: str | bytes) -> dict[str, Any]:
    """Returns the object that a configuration's text writes. Raises as `parsed`, and BAD_CONFIG for another value."""
    value = parsed(text)
    if not isinstance(value, dict):
        raise InvalidError("the configuration is not an object: save the network again", reason="BAD_CONFIG")
    return value


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns an object of JSON. Raises ValueError where a key is there twice: others may read the other value."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key twice")
    return value


def _members(value: list[Any] | dict[str, Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
