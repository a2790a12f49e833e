"""The plots of `isbench report`: which runs they show, and the files that are printed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from isbench.cli.streams import print_note
from isbench.metrics import Floats, Metric
from isbench.models.registry import Trusted
from isbench.protocol import has_full_games
from isbench.reporting import plot_files
from isbench.reporting.chosen_runs import choose_newest, choose_runs_on
from isbench.reporting.labels import format_count
from isbench.reporting.literature import PublishedFigure
from isbench.reporting.plot_files import BOUNDARIES, PICTURES, find_plot
from isbench.reporting.qualitative import load_examples, make_caption
from isbench.reporting.text_table import escape_controls
from isbench.storage.store import Run


class ReportOptions(NamedTuple):
    """The options of the command."""

    runs: Path
    data: Path | None
    datasets: tuple[str, ...]
    place: str | None
    max_clicks: int
    out: Path
    page: Path | None
    objects: int
    pictures: int
    layout: str | None
    every: bool
    labels: Mapping[str, str]
    metrics: tuple[Metric, ...]
    trusted: Trusted
    published: tuple[PublishedFigure, ...]
    imported: tuple[PublishedFigure, ...] = ()


def choose_drawn(
    names: Sequence[str], chosen: list[Run], plots: Sequence[str], options: ReportOptions
) -> list[Run]:
    """Return the runs that plots show, and print how many they leave out."""
    if not plots or options.every:
        drawn = chosen
    else:
        drawn, notes = choose_newest(chosen, names)
        for note in notes if set(plots) != {PICTURES} else ():
            print_note(note)
    early = [run for run in drawn if not has_full_games(run.spec.rules)]
    if early and not {"iou_k", BOUNDARIES}.isdisjoint(map(find_plot, plots)):
        print_note(
            "note: dashed curves hold the last value of games that stop at an IoU "
            f"({len(early)} of {format_count(len(drawn), 'run')}); `isbench run --stop-iou 1.01` "
            "plays full games"
        )
    return drawn


def draw_plot(
    plot: str,
    names: tuple[str, ...],
    chosen: list[Run],
    boundaries: list[Floats],
    options: ReportOptions,
) -> None:
    """Draw a plot and print the files."""
    if plot == PICTURES:
        _draw_pictures(_choose_in_order(names, options) or chosen, options)
        return
    if plot == BOUNDARIES:
        paths = plot_files.save_boundaries(chosen, boundaries, options.out, options.labels)
    else:
        paths = plot_files.save_plot(
            chosen, plot, options.max_clicks, options.out, labels=options.labels
        )
    for path in paths:
        click.echo(str(path))


def _choose_in_order(names: tuple[str, ...], options: ReportOptions) -> list[Run]:
    """Return the chosen runs in the order of their names: pictures show the clicks of the first."""
    found = [
        run for name in names for run in choose_runs_on(options.datasets, [name], options.runs).runs
    ]
    return list({os.path.realpath(run.path): run for run in found}.values())


def _draw_pictures(chosen: list[Run], options: ReportOptions) -> None:
    """Draw the objects where two runs differ most, and print the figures of each model."""
    examples = list(
        load_examples(
            chosen,
            options.max_clicks,
            options.objects,
            options.data,
            labels=options.labels,
            place=options.place,
            trusted=options.trusted,
        )
    )
    for example in examples:
        sides = (
            f"{side.label} IoU {side.iou:.3f}, boundary IoU {side.boundary_iou:.3f}"
            f"{'' if side.exact else ' (differs from the record)'}"
            for side in example.sides
        )
        key, clicks = escape_controls(example.key), format_count(len(example.clicks), "click")
        click.echo(f"{key} after {clicks}: {'; '.join(sides)}")
    click.echo(make_caption(examples))
    for path in plot_files.save_pictures(examples, options.out):
        click.echo(str(path))
