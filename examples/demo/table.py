"""The table that the demo ends with."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, median, pstdev

from compare import METHODS, Method, Result
from rich import box
from rich.console import Console
from rich.table import Table
from task import Task

from frostline_client.records import Version


def report(console: Console, task: Task, results: Sequence[Result], parent: Version) -> None:
    """Prints one row a method, and what a reader has to know to judge the figures."""
    made = Table(title=task.title, box=box.SIMPLE_HEAD, title_style="bold", title_justify="left", padding=(0, 1, 0, 0))
    made.add_column("", no_wrap=True)
    for heading in ("accuracy", "ms an\nepoch", "features\ncomputed", "features\nreused", "bytes\nadded"):
        made.add_column(heading, justify="right", no_wrap=True)
    made.add_row("their parent", "", "", "", "", f"{parent.added_bytes:,}")
    for method in METHODS:
        of = [result for result in results if result.method == method]
        features = method.reuses and method.cached
        accuracies = [100 * result.accuracy[-1] for result in of]
        made.add_row(
            method.name,
            f"{mean(accuracies):.1f} ± {pstdev(accuracies):.1f} %",
            f"{1000 * median(result.epoch_seconds[-1] for result in of):.1f}",
            f"{sum(result.computed for result in of):,}" if features else "",
            f"{sum(result.reused for result in of):,}" if features else "",
            f"{mean(result.added_bytes for result in of):,.0f}",
        )
    console.print(made)
    for line in notes(task, results):
        console.print(line, soft_wrap=True)


def notes(task: Task, results: Sequence[Result]) -> list[str]:
    """Returns what a reader has to know to judge the figures."""
    seeds = len(results) // len(METHODS)
    lines = [
        f"Seeds: {seeds}. Accuracy: its mean and spread on held-out examples after {task.epochs} epochs.",
        "An epoch includes its validation. Features: rows, of all seeds. Bytes: of one version.",
    ]
    uncached, cached = (weights(results, method) for method in METHODS if method.reuses and not method.thaws)
    if uncached == cached:
        lines.append("Cached or not, the weights come out the same, bit for bit: the second adds only its manifest.")
    return [*lines, *task.notes]


def weights(results: Sequence[Result], method: Method) -> list[tuple[str | None, ...]]:
    """Returns what the method ended with, seed by seed."""
    return [result.weights for result in results if result.method == method]
