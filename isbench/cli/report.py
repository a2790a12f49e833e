"""`isbench report`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import click

from isbench import report as views
from isbench import tables
from isbench.cli.options import console, data_option, runs_option
from isbench.datasets import is_known, load_dataset
from isbench.errors import IsbenchError, unknown
from isbench.paper import book
from isbench.paper.cells import lines
from isbench.scenes import caption, scenes
from isbench.sheet import FORMATS, Sheet, csv, latex, markdown, terminal
from isbench.store import Run

PAPER = tuple(map(str, book.NUMBERS))  # the CSFPN paper's tables
PICTURES = "pictures"


class Asked(NamedTuple):
    """What pictures are asked for."""

    data: Path | None
    max_clicks: int
    objects: int


@click.command(short_help="Print tables and draw plots of runs.")
@click.argument("names", nargs=-1, metavar="[RUN]...")
@click.option(
    "--table",
    "view",
    help=f"Table to print: {', '.join(tables.VIEWS)}, or 1 to 4 of the CSFPN paper. [default: noc]",
)
@click.option(
    "--format",
    "form",
    default="rich",
    show_default=True,
    help=f"How to print it: {', '.join(FORMATS)}; csv holds every figure.",
)
@click.option(
    "--plot",
    "plots",
    multiple=True,
    help="Plot to draw: iou_k, noc_hist, pictures of two runs. Repeatable.",
)
@click.option(
    "--max-clicks", type=int, default=20, show_default=True, help="Count games up to this click."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the plots; else plots in --runs."
)
@click.option(
    "--objects", "count", type=int, default=6, show_default=True, help="Pictures to draw."
)
@data_option
@runs_option("Folder that runs are looked up in.")
def report(
    names: tuple[str, ...],
    view: str | None,
    form: str,
    plots: tuple[str, ...],
    max_clicks: int,
    out: Path | None,
    count: int,
    data: Path | None,
    runs: Path,
) -> None:
    """Print a table of runs, or draw plots of them as PNG and SVG.

    RUN is a run's file, a folder of runs or the beginning of a digest; none means every run.
    Pictures are of the objects where two runs differ most after --max-clicks clicks: both models
    answer the clicks of the run that is named first.

    \b
    Example:
      isbench report runs/grabcut --table nof --format markdown
      isbench report --plot iou_k --plot noc_hist
      isbench report --table 1 --format markdown
      isbench report 3f2a 91bc --plot pictures --max-clicks 5
    """
    _check(view, form, max_clicks, count)
    chosen, notes = _runs(names, runs, view)
    needs_iou = not {"iou_k", "ioa_k"}.isdisjoint(plots) or view in ("iou", "all")
    for note in (*notes, *_remarks(chosen, needs_iou)):
        click.echo(f"isbench: {note}", err=True)
    for plot in plots:
        if plot == PICTURES:
            pair = _in_order(names, runs) or chosen
            _pictures(pair, out or runs / "plots", Asked(data, max_clicks, count))
            continue
        for path in views.save_plot(chosen, plot, max_clicks, out or runs / "plots"):
            click.echo(str(path))
    if view in PAPER:
        _print_paper(int(view), chosen, form)
    elif view is not None or not plots:
        _print_runs(chosen, view or "noc", form, max_clicks)


def _runs(names: tuple[str, ...], runs: Path, view: str | None) -> tuple[list[Run], list[str]]:
    """Return the chosen runs; a table of the paper has its published figures without any."""
    try:
        return views.choose(names, runs)
    except IsbenchError:
        if view not in PAPER or names:
            raise
        return [], []


def _in_order(names: tuple[str, ...], runs: Path) -> list[Run]:
    """Return the chosen runs as they were named, which tells whose clicks pictures are of."""
    found = [run for name in names for run in views.choose([name], runs)[0]]
    return list({run.path.resolve(): run for run in found}.values())


def _check(view: str | None, form: str, max_clicks: int, count: int) -> None:
    if view is not None and view not in (*tables.VIEWS, *PAPER):
        raise unknown("table", view, (*tables.VIEWS, *PAPER))
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    for name, number in (("max-clicks", max_clicks), ("objects", count)):
        if number < 1:
            raise IsbenchError(f"{name} is {number}; wanted at least 1")


def _remarks(runs: list[Run], needs_iou: bool) -> Iterator[str]:
    for run in runs:
        if not is_known(run.spec.dataset, run.spec.fingerprint):
            yield f"{run.path} was played on files of {run.spec.dataset} that are not known"
    if needs_iou and not all(map(tables.full_games, runs)):
        yield tables.FULL_GAMES


def _print_paper(number: int, runs: list[Run], form: str) -> None:
    sheet, cells = book.paper_table(number, book.records(number, views.published(), runs))
    if form == "csv" and number != 4:  # a figure a line; Table 4 is of costs first
        click.echo(lines(cells), nl=False)
    else:
        _print(sheet, form)


def _pictures(chosen: list[Run], place: Path, asked: Asked) -> None:
    """Draw where two runs differ most, and print how close each comes."""
    if len({run.spec.dataset for run in chosen}) != 1:
        names = ", ".join(sorted({run.spec.dataset for run in chosen}))
        raise IsbenchError(f"pictures show two runs over one data set, not {names}; name two")
    dataset = load_dataset(chosen[0].spec.dataset, asked.data)
    found = list(scenes(chosen, dataset, asked.max_clicks, asked.objects))
    for scene in found:
        sides = (
            f"{side.label} IoU {side.iou:.3f}, boundary IoU {side.boundary_iou:.3f}"
            f"{'' if side.exact else ' (not as recorded)'}"
            for side in scene.sides
        )
        click.echo(f"{scene.key} after {len(scene.clicks)} clicks: {'; '.join(sides)}")
    click.echo(caption(found))
    click.echo(str(views.save_pictures(found, place)))


def _print_runs(runs: list[Run], view: str, form: str, max_clicks: int) -> None:
    table = tables.frame(runs, max_clicks)
    if form == "csv":
        click.echo(tables.csv(table), nl=False)  # every figure, not the view's alone
    else:
        notes = (tables.LEGEND,) if form == "rich" else ()
        _print(replace(tables.sheet(table, view), notes=notes), form)


def _print(sheet: Sheet, form: str) -> None:
    if form != "rich":
        click.echo({"markdown": markdown, "latex": latex, "csv": csv}[form](sheet), nl=False)
        return
    screen = console()
    for drawn in terminal(sheet, screen.width if screen.is_terminal else None):
        screen.print(drawn)
    for note in sheet.notes:
        screen.print(note)
