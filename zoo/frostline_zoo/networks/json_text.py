"""JSON that came from outside: bounded before it is believed."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from frostline_zoo.errors import ExhaustedError, InvalidError

MAX_BYTES = 16 << 20
MAX_DEPTH = 100


def parsed(text: str | bytes) -> Any:
    """Returns the value that a configuration's text writes.

    Raises:
        InvalidError: it is not JSON (BAD_JSON), or is nested more than 100 deep (LIMIT_DEPTH).
        ExhaustedError: it is longer than 16 MiB.
    """
    if len(text) > MAX_BYTES:
        raise ExhaustedError(f"the configuration is longer than {MAX_BYTES >> 20} MiB", reason="LIMIT_INFLATE")
    deep = InvalidError(f"the configuration is nested more than {MAX_DEPTH} deep", reason="LIMIT_DEPTH")
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        raise deep from error
    except ValueError as error:
        raise InvalidError("the configuration is not JSON: save the network again", reason="BAD_JSON") from error
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level if isinstance(outer, list | dict) for inner in _members(outer)]
        if not level:
            return value
    raise deep


def _members(value: list[Any] | dict[str, Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
