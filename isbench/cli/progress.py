"""Progress on standard error: a bar on a terminal, lines at intervals in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from isbench.cli.streams import print_line, print_note
from isbench.metrics import clicks_to, curves, limit_target
from isbench.metrics.targets import format_percent
from isbench.reporting.labels import format_count
from isbench.reporting.text_table import escape_controls
from isbench.types import File, Game, Spec, Trajectory

T = TypeVar("T")
_INTERVAL = 10.0  # seconds between two lines


def make_bar(*columns: ProgressColumn, transient: bool = False) -> Progress:
    """Return a bar on standard error: its description, the bar, `columns`, and the time left.

    It is disabled if standard error is not a terminal. A transient bar disappears at the end.
    """
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *columns,
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False, markup=False, emoji=False),
        disable=not sys.stderr.isatty(),
        transient=transient,
    )


def make_figures_bar() -> Progress:
    """Return a bar of counted things with a field `figures`."""
    return make_bar(MofNCompleteColumn(), TextColumn("{task.fields[figures]}", markup=False))


class Reporter:
    """A `Watch` that shows objects per second, clicks, the running NoC and the time left.

    A context manager: leaving it removes the bar.
    """

    def __init__(self) -> None:
        """Start without a run."""
        self._bar = make_figures_bar()

    def __enter__(self) -> Reporter:
        """Start the bar; it appears with the first run."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        self._bar.stop()

    def start(self, spec: Spec, total: int, recorded: Sequence[Trajectory]) -> None:
        """Start the bar of a run, or print its first line."""
        self._name, self._spec, self._total = f"{spec.model} on {spec.dataset}", spec, total
        self._target = limit_target(spec.rules.stop_iou)
        self._resumed = self._done = len(recorded)
        self._clicks, self._noc = 0, sum(map(self._count_clicks, recorded))
        self._started = self._printed = monotonic()
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._task = self._bar.add_task(
            escape_controls(self._name), total=total, completed=len(recorded), figures=""
        )
        if recorded:
            self._print(f"{self._name}: {len(recorded)} of {total} objects are already recorded")

    def add_game(self, game: Game) -> None:
        """Advance the bar, or print a line if the last one is old."""
        self._done += 1
        self._clicks += len(game.trajectory.clicks)
        self._noc += self._count_clicks(game.trajectory)
        self._bar.update(self._task, completed=self._done, figures=self._format_figures())
        if self._bar.disable and (
            monotonic() - self._printed > _INTERVAL or self._done == self._total
        ):
            self._printed = monotonic()
            left = (self._total - self._done) / self._compute_rate()
            done = f"{self._done}/{format_count(self._total, 'object')}"
            self._print(f"{self._name}: {done}, {self._format_figures()}, {left:.0f} s left")

    def note(self, text: str) -> None:
        """Print a note above the bar."""
        if self._bar.disable:
            print_note(text)
        else:
            self._bar.console.print(escape_controls(f"isbench: {text}"), style="yellow")

    def _format_figures(self) -> str:
        noc = f"NoC@{format_percent(self._target)} {self._noc / self._done:.2f}"
        return f"{_format_rate(self._compute_rate())}, {format_count(self._clicks, 'click')}, {noc}"

    def _compute_rate(self) -> float:
        """Return the objects per second of this session, without those already recorded."""
        return (self._done - self._resumed) / max(1e-9, monotonic() - self._started)

    def _count_clicks(self, trajectory: Trajectory) -> int:
        return int(clicks_to(curves([trajectory], self._spec.rules.max_clicks), self._target)[0])

    def _print(self, text: str) -> None:
        if self._bar.disable:
            print_line(text)


def _format_rate(rate: float) -> str:
    """Return objects per second, or seconds per object if these are more than one."""
    if rate >= 1:
        return f"{rate:.1f} objects/s"
    return f"{1 / rate:.1f} s/object" if rate > 0 else "no object yet"


def track(things: Iterable[T], total: int, label: str) -> Iterator[T]:
    """Yield the things, and show how many are done and how much time is left."""
    bar = make_bar(MofNCompleteColumn(), transient=True)
    started = printed = monotonic()
    with bar:
        task = bar.add_task(escape_controls(label), total=total)
        for done, thing in enumerate(things, start=1):
            yield thing
            bar.update(task, completed=done)
            if bar.disable and monotonic() - printed > _INTERVAL:
                printed = monotonic()
                left = (total - done) * (printed - started) / done
                print_line(f"{label}: {done}/{total}, {left:.0f} s left")


@contextmanager
def track_downloads() -> Iterator[Callable[[File, int, int | None], None]]:
    """Yield a function that shows a file's bytes so far and in total, None if unknown."""
    with make_bar(DownloadColumn(), transient=True) as bar:
        tasks = {}

        def show(file: File, done: int, total: int | None) -> None:
            if file.name not in tasks:
                tasks[file.name] = bar.add_task(file.name, total=total)
            bar.update(tasks[file.name], completed=done, total=total)

        yield show
