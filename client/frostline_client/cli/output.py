"""What is printed on standard output: one JSON document, or text for people."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click


def print_json(value: Any) -> None:
    """Prints a value of records, lists, dicts, texts, numbers and times as one JSON document."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """Returns `value` as JSON has it: times in UTC as ISO 8601, numbers that are not finite as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Prints rows in columns as wide as they need, numbers to the right; `empty` where there are none."""
    table = [[_cell(cell) for cell in row] for row in rows]
    if not table:
        click.echo(empty)
        return
    to_right = [all(row[column][1] for row in table) for column in range(len(heads))]
    widths = [max(len(heads[column]), *(len(row[column][0]) for row in table)) for column in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, to_right, strict=True)
        )
        return "  ".join(padded).rstrip()

    click.secho(line(heads), bold=True)
    for row in table:
        click.echo(line([text for text, _ in row]))


def print_fields(fields: dict[str, object]) -> None:
    """Prints a name and a value a line; those without a value are left out."""
    shown = {name: _cell(value)[0] for name, value in fields.items() if value not in (None, "", ())}
    width = max(len(name) for name in shown)
    for name, value in shown.items():
        click.echo(f"{click.style(name.ljust(width), bold=True)}  {value}")


class Size(int):
    """A number of bytes."""

    def __str__(self) -> str:
        return size(self)


def size(size_bytes: float) -> str:
    """Returns a number of bytes as people read it."""
    unit = "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size_bytes < 999.5:
            break
        size_bytes, unit = size_bytes / 1000, larger
    return f"{size_bytes:.3g} {unit}"


class Duration(float):
    """A time in seconds."""

    def __str__(self) -> str:
        return duration(self)


def duration(seconds: float) -> str:
    """Returns a time as people read it."""
    if abs(seconds) < 0.9995:
        return f"{round(seconds * 1000)} ms" if abs(seconds) >= 0.0005 else "0 s"
    if abs(seconds) < 99.5:
        return f"{seconds:.3g} s"
    if seconds < 0:
        return f"-{duration(-seconds)}"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def figure(value: float) -> str:
    """Returns a metric as people read it."""
    return f"{value:.4g}"


def _cell(value: object) -> tuple[str, bool]:
    """Returns a cell's text, and whether it stands to the right."""
    if isinstance(value, Size | Duration):
        return str(value), True
    if isinstance(value, float):
        return figure(value), True
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S"), False
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value), False
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}", True
    return "" if value is None else str(value), False
