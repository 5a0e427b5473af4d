"""What became of everything in an imported file, for people to read."""

from __future__ import annotations

from collections.abc import Sequence

import click

from frostline_client.records import ImportReport

MOST_LINES = 20


def print_report(report: ImportReport, notes: Sequence[str]) -> None:
    """Prints how many parameters became what, and the first 20 of each kind that was not simply taken over."""
    counts = {
        "matched": len(report.matched),
        "renamed": len(report.renamed),
        "missing": len(report.missing),
        "unexpected": len(report.unexpected),
        "of another shape": len(report.differing),
    }
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count or name == "matched")
    click.echo(f"parameters: {told}")
    _print("renamed", [f"{theirs} is {ours}" for theirs, ours in report.renamed])
    _print("missing in the file", report.missing)
    _print("not taken over", report.unexpected)
    _print("of another shape", [f"{name} is {list(a)}, wanted {list(b)}" for name, a, b in report.differing])
    _print("note", notes)


def _print(kind: str, lines: Sequence[str]) -> None:
    for line in lines[:MOST_LINES]:
        click.echo(f"{kind}: {line}")
    if len(lines) > MOST_LINES:
        click.echo(f"{kind}: and {len(lines) - MOST_LINES} more, which --json lists")
