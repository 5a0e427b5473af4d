"""What is seen while jobs run: a bar on a terminal, one line a job elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bars

from frostline_client.events import EpochEnded, Filled
from frostline_client.jobs import Job


class Progress:
    """Follows jobs, one after the other."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (TextColumn("{task.description:<52}"), BarColumn(24), TextColumn("{task.fields[now]}"))
        self._bars = Bars(*columns, console=console, disable=not console.is_terminal)

    def follow(self, job: Job, title: str, epochs: int) -> list[EpochEnded]:
        """Watches a job to its end, and returns its epochs."""
        started = time.monotonic()
        bar = self._bars.add_task(title, total=epochs, now="")
        ended: list[EpochEnded] = []
        now = ""
        for event in job.watch():
            if isinstance(event, Filled):
                now = f"features: {event.done} of {event.total} rows, {event.computed} computed"
            elif isinstance(event, EpochEnded):
                ended.append(event)
                now = f"accuracy {event.metrics['val_accuracy']:.3f}"
            self._bars.update(bar, completed=len(ended), now=now)
        job.result()
        if not self._console.is_terminal:
            self._console.print(f"{title:<52}  {now}, {time.monotonic() - started:.1f} s")
        return ended

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()
