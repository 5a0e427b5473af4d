"""How far a transfer has come, on standard error: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from frostline_client.cli.output import size
from frostline_client.streams import Progress

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

SECONDS_BETWEEN_LINES = 2.0


class Throttle:
    """Lets a line through now and then."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def lets_through(self) -> bool:
        """Returns whether the last line is long enough ago."""
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_LINES:
            return False
        self._last = now
        return True


def is_live() -> bool:
    """Returns whether a person watches standard error."""
    return sys.stderr.isatty()


def say(line: str) -> None:
    """Prints a line on standard error."""
    click.echo(line, err=True)


@contextmanager
def transferring(what: str) -> Iterator[Progress]:
    """Shows bytes, their rate and the time left."""
    if not is_live():
        with _lines(what, "") as progress:
            yield progress
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with _bar(what, *columns, TimeRemainingColumn()) as progress:
        yield progress


@contextmanager
def counting(what: str, unit: str) -> Iterator[Progress]:
    """Shows a count of things and the time left."""
    if not is_live():
        with _lines(what, f" {unit}") as progress:
            yield progress
        return
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn

    class Rate(ProgressColumn):
        def render(self, task: Task) -> str:
            return f"{unit}, {task.finished_speed or task.speed or 0:,.0f}/s"

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn()
    with _bar(what, *columns) as progress:
        yield progress


@contextmanager
def _bar(what: str, *columns: ProgressColumn) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def _lines(what: str, unit: str) -> Iterator[Progress]:
    """Prints a line every other second, and one at the end. Without a unit, the counts are bytes."""
    throttle, started, last, ended = Throttle(), time.monotonic(), 0, 0.0

    def amount(count: float) -> str:
        return f"{count:,.0f}{unit}" if unit else size(count)

    def progress(done: int, total: int) -> None:
        nonlocal last, ended
        last, ended = done, time.monotonic()
        if throttle.lets_through():
            say(f"{what}: {amount(done)} of {amount(total)}, {amount(done / (time.monotonic() - started))}/s")

    yield progress
    if last:
        seconds = ended - started
        say(f"{what}: {amount(last)} in {seconds:.1f} s, {amount(last / max(seconds, 1e-3))}/s")
