"""What every benchmark has in common: its options, its repeats, its table and its document.

report = Report("transfer")
for _ in range(report.repeats):
    ...
    report.row(what="upload", seconds=0.7)
    report.ratio("upload / bare stream", 0.8, wanted=0.6)
report.end()
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass
class _Ratio:
    wanted: float | None
    at_least: bool
    values: list[float] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        median = statistics.median(self.values)
        return {
            "median": median,
            "min": min(self.values),
            "max": max(self.values),
            "wanted": self.wanted,
            "at_least": self.at_least,
            "holds": self.wanted is None or (median >= self.wanted if self.at_least else median <= self.wanted),
        }


class Report:
    """One run of one benchmark: `--json FILE` writes its document, `--quick` (or QUICK=1) asks for a smaller version.

    Attributes:
        quick: whether a smaller version is asked for.
        repeats: how often to measure: 5 times, 3 where quick.
    """

    def __init__(self, name: str, description: str) -> None:
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows and ratios to FILE")
        parser.add_argument("--quick", action="store_true", help="a smaller version, the same wanted figures")
        arguments = parser.parse_args()
        self.name = name
        self.quick = arguments.quick or bool(os.environ.get("QUICK"))
        self.repeats = 3 if self.quick else 5
        self._file: Path | None = arguments.json
        self._rows: list[dict[str, Any]] = []
        self._ratios: dict[str, _Ratio] = {}

    def row(self, **values: Any) -> None:
        """Adds what one measurement gave; a unit is in its key, as in `seconds`."""
        self._rows.append(values)

    def ratio(self, label: str, value: float, *, wanted: float | None, at_least: bool = True) -> None:
        """Adds one repeat's ratio; the median of all must be at least, or at most, what is wanted, if anything is."""
        self._ratios.setdefault(label, _Ratio(wanted, at_least)).values.append(value)

    def end(self) -> None:
        """Prints the tables and writes the document."""
        ratios = {label: ratio.document() for label, ratio in self._ratios.items()}
        console = Console(file=sys.stderr)
        rows = Table(*dict.fromkeys(key for row in self._rows for key in row), title=self.name)
        for row in self._rows:
            rows.add_row(*(_shown(row.get(str(column.header), "")) for column in rows.columns))
        console.print(rows)
        table = Table("ratio", "median", "min", "max", "wanted", "")
        for label, ratio in ratios.items():
            figures = (f"{ratio[key]:.3g}" for key in ("median", "min", "max"))
            table.add_row(label, *figures, *verdict(ratio))
        console.print(table)
        if self._file is not None:
            document = {"benchmark": self.name, "rows": self._rows, "ratios": ratios}
            self._file.write_text(json.dumps(document, indent=1) + "\n")


def verdict(ratio: dict[str, Any]) -> tuple[str, str]:
    """Returns in words what is wanted of a ratio, and whether it holds; nothing where nothing is wanted."""
    if ratio["wanted"] is None:
        return "", ""
    return f"{'>=' if ratio['at_least'] else '<='} {ratio['wanted']:g}", "holds" if ratio["holds"] else "NO"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
