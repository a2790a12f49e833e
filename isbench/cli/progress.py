"""How a run goes, on a terminal as a bar, in a pipe as a line now and then. To standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from time import monotonic
from typing import TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from isbench.metrics import clicks_to, curves
from isbench.types import Game, Spec, Trajectory

T = TypeVar("T")
_EVERY = 10.0  # seconds between two lines


class Reporter:
    """A `Watch` that shows objects a second, clicks, the running NoC and the time left.

    A context manager: leaving it takes the bar away.
    """

    def __init__(self) -> None:
        """Start without a run."""
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not sys.stderr.isatty(),
        )

    def __enter__(self) -> Reporter:
        """Show the bar once a run starts."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        self._bar.stop()

    def started(self, spec: Spec, total: int, recorded: Sequence[Trajectory]) -> None:
        """Begin a run's bar, or its first line."""
        self._name, self._spec, self._total = f"{spec.model} on {spec.dataset}", spec, total
        self._target = min(0.90, spec.rules.stop_iou)
        self._resumed = self._done = len(recorded)
        self._clicks, self._noc = 0, sum(map(self._clicks_needed, recorded))
        self._begun = self._said = monotonic()
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._task = self._bar.add_task(
            self._name, total=total, completed=len(recorded), figures=""
        )
        if recorded:
            self._say(f"{self._name}: {len(recorded)} of {total} objects were recorded before")

    def played(self, game: Game) -> None:
        """Move the bar on, or print a line if the last one is old."""
        self._done += 1
        self._clicks += len(game.trajectory.clicks)
        self._noc += self._clicks_needed(game.trajectory)
        self._bar.update(self._task, completed=self._done, figures=self._figures())
        if self._bar.disable and (monotonic() - self._said > _EVERY or self._done == self._total):
            self._said = monotonic()
            left = (self._total - self._done) / self._rate()
            self._say(
                f"{self._name}: {self._done}/{self._total} objects, {self._figures()}, "
                f"{left:.0f} s left"
            )

    def note(self, text: str) -> None:
        """Print a remark above the bar."""
        if self._bar.disable:
            click.echo(f"isbench: {text}", err=True)
        else:
            self._console.print(f"isbench: {text}", style="yellow")

    def _figures(self) -> str:
        noc = f"NoC@{100 * self._target:.0f} {self._noc / self._done:.2f}"
        return f"{self._rate():.1f} objects/s, {self._clicks} clicks, {noc}"

    def _rate(self) -> float:
        """Return the objects a second of this run, those recorded before left out."""
        return (self._done - self._resumed) / max(1e-9, monotonic() - self._begun)

    def _clicks_needed(self, trajectory: Trajectory) -> int:
        return int(clicks_to(curves([trajectory], self._spec.rules.max_clicks), self._target)[0])

    def _say(self, text: str) -> None:
        if self._bar.disable:
            click.echo(text, err=True)


def track(things: Iterable[T], total: int, label: str) -> Iterator[T]:
    """Yield the things, and show how many are done and the time left."""
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False, markup=False, emoji=False),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    begun = said = monotonic()
    with bar:
        task = bar.add_task(label, total=total)
        for done, thing in enumerate(things, start=1):
            yield thing
            bar.update(task, completed=done)
            if bar.disable and monotonic() - said > _EVERY:
                said = monotonic()
                left = (total - done) * (said - begun) / done
                click.echo(f"{label}: {done}/{total}, {left:.0f} s left", err=True)
