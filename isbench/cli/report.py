"""`isbench report`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import click

from isbench.cli.options import console, data_option, runs_option
from isbench.datasets import is_known, load_dataset
from isbench.errors import IsbenchError, unknown
from isbench.metrics import Floats
from isbench.papers import all_tables
from isbench.papers.cells import format_cells
from isbench.reporting import boundary_tables, tables
from isbench.reporting import checklist as checklists
from isbench.reporting import writer as views
from isbench.reporting.qualitative import make_caption, make_scenes
from isbench.reporting.text_table import (
    FORMATS,
    TextTable,
    format_csv,
    format_latex,
    format_markdown,
    make_terminal_tables,
)
from isbench.storage.store import Run

PAPER = tuple(map(str, all_tables.NUMBERS))  # the CSFPN paper's tables
PICTURES = "pictures"
BOUNDARY, BOUNDARIES = "biou", "biou_k"  # need the masks: saved, or computed again


class ReportOptions(NamedTuple):
    """What is asked for."""

    runs: Path
    data: Path | None
    max_clicks: int
    out: Path
    place: Path | None
    objects: int
    pictures: int


@click.command(short_help="Print tables and draw plots of runs.")
@click.argument("names", nargs=-1, metavar="[RUN]...")
@click.option(
    "--table",
    "view",
    help=f"Table to print: {', '.join((*tables.VIEWS, BOUNDARY))}, or 1 to 4 of the CSFPN paper. "
    "[default: noc]",
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
    help="Plot to draw: iou_k, biou_k, noc_hist, pictures of two runs. Repeatable.",
)
@click.option(
    "--checklist", is_flag=True, help="Print what a paper should state of each run, filled in."
)
@click.option(
    "--html",
    "place",
    type=click.Path(path_type=Path),
    help="Write one page to look at, with plots, objects and masks.",
)
@click.option(
    "--pictures",
    "album",
    type=int,
    default=200,
    show_default=True,
    help="Objects that the page shows, the worst first, 25 MB at most; 0 for none.",
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
    checklist: bool,
    place: Path | None,
    album: int,
    max_clicks: int,
    out: Path | None,
    count: int,
    data: Path | None,
    runs: Path,
) -> None:
    """Print a table of runs, or draw plots of them as PNG and SVG.

    RUN is a run's file, a folder of runs or the beginning of a digest; none means every run.
    Pictures are of the objects where two runs differ most after --max-clicks clicks: both models
    answer the clicks of the run that is named first. Masks that `run --save-masks` did not keep are
    computed again, which takes as long as playing.

    \b
    Example:
      isbench report runs/grabcut --table nof --format markdown
      isbench report --plot iou_k --plot noc_hist
      isbench report --table 1 --format markdown
      isbench report 3f2a 91bc --plot pictures --max-clicks 5
      isbench report 3f2a --checklist --format latex
      isbench report runs/davis --html report.html --pictures 40
    """
    asked = ReportOptions(runs, data, max_clicks, out or runs / "plots", place, count, album)
    _check(view, form, asked)
    chosen, notes = _runs(names, runs, view)
    needs_iou = not {"iou_k", "ioa_k"}.isdisjoint(plots) or view in ("iou", "all")
    for note in (*notes, *_remarks(chosen, needs_iou)):
        click.echo(f"isbench: {note}", err=True)
    if place is not None:
        from isbench.cli.html_pages import write_page

        write_page(place, chosen, max_clicks, album, data)
    boundaries: list[Floats] = []
    if view == BOUNDARY or BOUNDARIES in plots:
        boundaries = _boundaries(chosen, asked)
    for plot in plots:
        _plot(plot, names, chosen, boundaries, asked)
    if checklist:
        _print(checklists.make_checklist(chosen, max_clicks), form)
    if view is not None or not (plots or place or checklist):
        _table(view or "noc", form, chosen, boundaries, max_clicks)


def _plot(
    plot: str,
    names: tuple[str, ...],
    chosen: list[Run],
    boundaries: list[Floats],
    asked: ReportOptions,
) -> None:
    """Draw a plot and print where it is."""
    if plot == PICTURES:
        _pictures(_in_order(names, asked.runs) or chosen, asked)
        return
    if plot == BOUNDARIES:
        paths = views.save_boundaries(chosen, boundaries, asked.out)
    else:
        paths = views.save_plot(chosen, plot, asked.max_clicks, asked.out)
    for path in paths:
        click.echo(str(path))


def _table(
    view: str, form: str, chosen: list[Run], boundaries: list[Floats], max_clicks: int
) -> None:
    if view == BOUNDARY:
        _print(boundary_tables.make_table(chosen, boundaries), form)
    elif view in PAPER:
        _print_paper(int(view), chosen, form)
    else:
        _print_runs(chosen, view, form, max_clicks)


def _boundaries(chosen: list[Run], asked: ReportOptions) -> list[Floats]:
    """Return the boundary IoU after each click of each run."""
    from isbench.cli.html_pages import compute_boundaries

    found = []
    for run in chosen:
        clicks = min(asked.max_clicks, run.spec.rules.max_clicks)
        found.append(
            boundary_tables.boundary_curves(compute_boundaries(run, asked.data, clicks), clicks)
        )
    return found


def _runs(names: tuple[str, ...], runs: Path, view: str | None) -> tuple[list[Run], list[str]]:
    """Return the chosen runs; a table of the paper has its published figures without any."""
    try:
        return views.choose_runs(names, runs)
    except IsbenchError:
        if view not in PAPER or names:
            raise
        return [], []


def _in_order(names: tuple[str, ...], runs: Path) -> list[Run]:
    """Return the chosen runs as they were named, which tells whose clicks pictures are of."""
    found = [run for name in names for run in views.choose_runs([name], runs)[0]]
    return list({run.path.resolve(): run for run in found}.values())


def _check(view: str | None, form: str, asked: ReportOptions) -> None:
    known = (*tables.VIEWS, BOUNDARY, *PAPER)
    if view is not None and view not in known:
        raise unknown("table", view, known)
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    for name, number, least in (
        ("max-clicks", asked.max_clicks, 1),
        ("objects", asked.objects, 1),
        ("pictures", asked.pictures, 0),
    ):
        if number < least:
            raise IsbenchError(f"{name} is {number}; wanted at least {least}")


def _remarks(runs: list[Run], needs_iou: bool) -> Iterator[str]:
    for run in runs:
        if not is_known(run.spec.dataset, run.spec.fingerprint):
            yield f"{run.path} was played on files of {run.spec.dataset} that are not known"
    if needs_iou and not all(map(tables.has_full_games, runs)):
        yield tables.FULL_GAMES


def _print_paper(number: int, runs: list[Run], form: str) -> None:
    sheet, cells = all_tables.paper_table(
        number, all_tables.collect_records(number, views.read_published(), runs)
    )
    if form == "csv" and number != 4:  # a figure a line; Table 4 is of costs first
        click.echo(format_cells(cells), nl=False)
    else:
        _print(sheet, form)


def _pictures(chosen: list[Run], asked: ReportOptions) -> None:
    """Draw where two runs differ most, and print how close each comes."""
    if len({run.spec.dataset for run in chosen}) != 1:
        names = ", ".join(sorted({run.spec.dataset for run in chosen}))
        raise IsbenchError(f"pictures show two runs over one data set, not {names}; name two")
    dataset = load_dataset(chosen[0].spec.dataset, asked.data)
    found = list(make_scenes(chosen, dataset, asked.max_clicks, asked.objects))
    for scene in found:
        sides = (
            f"{side.label} IoU {side.iou:.3f}, boundary IoU {side.boundary_iou:.3f}"
            f"{'' if side.exact else ' (not as recorded)'}"
            for side in scene.sides
        )
        click.echo(f"{scene.key} after {len(scene.clicks)} clicks: {'; '.join(sides)}")
    click.echo(make_caption(found))
    click.echo(str(views.save_pictures(found, asked.out)))


def _print_runs(runs: list[Run], view: str, form: str, max_clicks: int) -> None:
    table = tables.make_frame(runs, max_clicks)
    if form == "csv":
        click.echo(tables.format_csv(table), nl=False)  # every figure, not the view's alone
    else:
        notes = (tables.LEGEND,) if form == "rich" else ()
        _print(replace(tables.make_table(table, view), notes=notes), form)


def _print(sheet: TextTable, form: str) -> None:
    if form != "rich":
        click.echo(
            {"markdown": format_markdown, "latex": format_latex, "csv": format_csv}[form](sheet),
            nl=False,
        )
        return
    screen = console()
    for drawn in make_terminal_tables(sheet, screen.width if screen.is_terminal else None):
        screen.print(drawn)
    for note in sheet.notes:
        screen.print(note)
