"""A job as it runs, on standard error: live bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from frostline_client.cli.output import duration, figure
from frostline_client.cli.progress import Throttle, is_live, say
from frostline_client.events import EpochEnded, Event, Filled, Noted, StageStarted, StateChanged

if TYPE_CHECKING:
    from rich.progress import TaskID


def watch(name: str, events: Iterable[Event]) -> None:
    """Shows the events of the job `name` until they end."""
    with _Bars() if is_live() else _Lines() as shown:
        for event in events:
            match event:
                case StateChanged():
                    shown.line(f"job {name} is {event.state.lower()}")
                case StageStarted():
                    shown.stage(event)
                case Filled():
                    shown.fill(event)
                case EpochEnded():
                    shown.epoch(event)
                case Noted():
                    shown.line(event.text)


class _Shown(ABC):
    """A job's events, shown."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def line(self, text: str) -> None:
        """Shows a line."""

    @abstractmethod
    def fill(self, event: Filled) -> None:
        """Shows how far a stage's features are filled."""

    @abstractmethod
    def epoch(self, event: EpochEnded) -> None:
        """Shows an epoch's figures."""

    @abstractmethod
    def close(self) -> None:
        """Shows what is still held back."""

    def stage(self, event: StageStarted) -> None:
        """Shows that a stage starts."""
        frozen, training = event.frozen_layer_count, event.trainable_parameter_count
        self.line(f"stage {event.stage + 1}: {frozen} layers are frozen, {training:,} parameters train")
        if event.plan is not None and event.plan.reason:
            self.line(f"stage {event.stage + 1}: {event.plan.reason}")


class _Rate:
    """How fast rows are computed, by the times of the events: who watches may have come late."""

    def __init__(self) -> None:
        self._first: Filled | None = None
        self._last: Filled | None = None

    def of(self, event: Filled) -> float | None:
        """Takes in an event; returns the rows computed a second since its filling began."""
        first, last = self._first, self._last
        if first is None or last is None or event.stage != last.stage or event.done < last.done:
            first = self._first = event
        self._last = event
        if first.time is None or event.time is None:
            return None
        seconds, computed = (event.time - first.time).total_seconds(), event.computed - first.computed
        return computed / seconds if seconds > 0 and computed > 0 else None


class _Lines(_Shown):
    def __init__(self) -> None:
        self._throttle = Throttle()
        self._rate = _Rate()
        self._held = ""
        self._epochs = 0

    def line(self, text: str) -> None:
        self.close()
        say(text)

    def stage(self, event: StageStarted) -> None:
        super().stage(event)
        self._epochs = event.epochs

    def fill(self, event: Filled) -> None:
        parts = [f"stage {event.stage + 1}: {event.done:,} of {event.total:,} features, {event.computed:,} computed"]
        if rate := self._rate.of(event):
            parts += [f"{rate:,.0f} rows/s", f"{duration((event.total - event.done) / rate)} left"]
        self._now_and_then(", ".join(parts))

    def epoch(self, event: EpochEnded) -> None:
        of = f" of {self._epochs}" if self._epochs else ""
        self._now_and_then(f"stage {event.stage + 1}: epoch {event.epoch + 1}{of}: {_figures(event.metrics)}")

    def close(self) -> None:
        if self._held:
            say(self._held)
        self._held = ""

    def _now_and_then(self, text: str) -> None:
        self._held = text
        if self._throttle.lets_through():
            self.close()


class _Bars(_Shown):
    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        self._bars = Progress(
            TextColumn("{task.description}", table_column=Column(min_width=10)),
            BarColumn(bar_width=16, table_column=Column(min_width=16)),
            MofNCompleteColumn(table_column=Column(min_width=9, no_wrap=True)),
            TimeRemainingColumn(table_column=Column(min_width=7)),
            TextColumn("{task.fields[note]}", table_column=Column(ratio=1, no_wrap=True)),
            console=Console(stderr=True),
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._epochs = 0
        self._rate = _Rate()
        self._bars.start()

    def line(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False)

    def stage(self, event: StageStarted) -> None:
        super().stage(event)
        self._tasks.clear()
        self._epochs = event.epochs

    def fill(self, event: Filled) -> None:
        rate = self._rate.of(event)
        note = f"{rate:,.0f} rows/s" if rate else "" if event.computed else "all were there"
        self._update("  features", event.done, event.total, note)

    def epoch(self, event: EpochEnded) -> None:
        self._update("  epochs", event.epoch + 1, self._epochs, _figures(event.metrics))

    def close(self) -> None:
        self._bars.stop()

    def _update(self, title: str, done: int, total: int, note: str) -> None:
        if title not in self._tasks:
            # What is done by now took no time that could tell how long the rest takes.
            self._tasks[title] = self._bars.add_task(title, total=total, completed=done, note="")
        self._bars.update(self._tasks[title], completed=done, total=total, note=note)


def _figures(metrics: dict[str, float]) -> str:
    """Returns the figures in a line, those of the validation examples first: the end may not fit."""
    ordered = sorted(metrics.items(), key=lambda entry: not entry[0].startswith("val_"))
    return ", ".join(f"{name} {figure(value)}" for name, value in ordered)
