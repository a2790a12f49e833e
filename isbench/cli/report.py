"""`isbench report`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import click

from isbench.cli.options import console, data_option, runs_option
from isbench.cli.paths import OUTPUT
from isbench.cli.progress import track
from isbench.cli.usage import refuse_lists
from isbench.datasets import is_known
from isbench.errors import IsbenchError, check_least, unknown
from isbench.metrics import Floats, Metric, list_metrics
from isbench.papers import PaperTable, all_tables
from isbench.papers.cells import format_cells
from isbench.papers.registry import find_table, list_tables, paper_names
from isbench.protocol import has_full_games
from isbench.reporting import boundary_tables, tables
from isbench.reporting import checklist as checklists
from isbench.reporting import writer as views
from isbench.reporting.qualitative import load_examples, make_caption
from isbench.reporting.text_table import (
    FORMATS,
    TextTable,
    format_csv,
    format_latex,
    format_markdown,
    make_terminal_tables,
)
from isbench.reporting.writer import BOUNDARIES, PICTURES
from isbench.storage.store import Run

BOUNDARY = "biou"  # needs the masks, saved or recomputed


class ReportOptions(NamedTuple):
    """The options of the command."""

    runs: Path
    data: Path | None
    max_clicks: int
    out: Path
    page: Path | None
    objects: int
    pictures: int
    metrics: tuple[Metric, ...]


@click.command(short_help="Print tables and draw plots of runs.")
@click.argument("names", nargs=-1, metavar="[RUN]...")
@click.option(
    "--table",
    "view",
    help=f"Table to print: {', '.join((*tables.list_views(), BOUNDARY))}, NUMBER or PAPER:NUMBER "
    f"of a paper ({', '.join(paper_names())}), or a table of an installed metric. [default: noc]",
)
@click.option(
    "--format",
    "form",
    default="rich",
    show_default=True,
    help=f"Format of the table: {', '.join(FORMATS)}; csv has every figure.",
)
@click.option(
    "--plot",
    "plots",
    multiple=True,
    callback=refuse_lists,
    help="Plot to draw: iou_k, biou_k, noc_hist, or pictures (of two runs). Repeatable.",
)
@click.option(
    "--checklist",
    is_flag=True,
    help="Print a checklist of what a paper should report about each run.",
)
@click.option(
    "--html",
    "page",
    type=OUTPUT,
    help="Write an HTML page with tables, plots, objects and masks.",
)
@click.option(
    "--pictures",
    type=int,
    default=200,
    show_default=True,
    help="Number of objects with pictures on the page, worst first, up to 25 MB; 0: none.",
)
@click.option(
    "--max-clicks", type=int, default=20, show_default=True, help="Ignore clicks after this one."
)
@click.option("--out", type=OUTPUT, help="Folder of the plots. [default: RUNS/plots]")
@click.option(
    "--objects",
    "count",
    type=int,
    default=6,
    show_default=True,
    help="Number of objects that --plot pictures shows.",
)
@data_option
@runs_option("Folder to look up runs in.")
def report(
    names: tuple[str, ...],
    view: str | None,
    form: str,
    plots: tuple[str, ...],
    checklist: bool,
    page: Path | None,
    pictures: int,
    max_clicks: int,
    out: Path | None,
    count: int,
    data: Path | None,
    runs: Path,
) -> None:
    """Print a table of runs, or draw plots of them as PNG and SVG.

    RUN is a run file, a folder of runs or the first digits of a run digest; without a RUN, use all
    runs. Pictures show the objects where two runs differ most after --max-clicks clicks: both
    models answer the clicks of the run that is named first. Masks that `run --save-masks` did not
    save are recomputed, which takes as long as the run.

    \b
    Example:
      isbench report runs/grabcut --table nof --format markdown
      isbench report --plot iou_k --plot noc_hist
      isbench report --table 1 --format markdown
      isbench report 3f2a 91bc --plot pictures --max-clicks 5
      isbench report 3f2a --checklist --format latex
      isbench report runs/davis --html report.html --pictures 40
    """
    options = ReportOptions(
        runs, data, max_clicks, out or runs / "plots", page, count, pictures, list_metrics()
    )
    table = None if view is None else _parse_view(view, options.metrics)
    _check(form, options)
    chosen, notes = _choose_runs(names, runs, table)
    needs_iou = not {"iou_k", "ioa_k"}.isdisjoint(plots) or view in ("iou", tables.ALL)
    for note in (*notes, *_list_warnings(chosen, needs_iou)):
        click.echo(f"isbench: {note}", err=True)
    if page is not None:
        from isbench.cli.html_pages import write_page

        write_page(page, chosen, max_clicks, pictures, data)
    boundaries: list[Floats] = []
    if view == BOUNDARY or BOUNDARIES in plots:
        boundaries = [
            boundary_tables.compute_boundaries(run, max_clicks, data, track) for run in chosen
        ]
    for plot in plots:
        _draw_plot(plot, names, chosen, boundaries, options)
    if checklist:
        _print(checklists.make_checklist(chosen, max_clicks, options.metrics), form)
    if table is not None or not (plots or page or checklist):
        _print_view(table or "noc", form, chosen, boundaries, options)


def _draw_plot(
    plot: str,
    names: tuple[str, ...],
    chosen: list[Run],
    boundaries: list[Floats],
    options: ReportOptions,
) -> None:
    """Draw a plot and print the files."""
    if plot == PICTURES:
        _draw_pictures(_choose_in_order(names, options.runs) or chosen, options)
        return
    if plot == BOUNDARIES:
        paths = views.save_boundaries(chosen, boundaries, options.out)
    else:
        paths = views.save_plot(chosen, plot, options.max_clicks, options.out)
    for path in paths:
        click.echo(str(path))


def _print_view(
    view: str | PaperTable,
    form: str,
    chosen: list[Run],
    boundaries: list[Floats],
    options: ReportOptions,
) -> None:
    if isinstance(view, PaperTable):
        _print_paper_table(view, chosen, form)
    elif view == BOUNDARY:
        _print(boundary_tables.make_table(chosen, boundaries), form)
    else:
        _print_runs(chosen, view, form, options)


def _choose_runs(
    names: tuple[str, ...], runs: Path, view: str | PaperTable | None
) -> tuple[list[Run], list[str]]:
    """Return the chosen runs and notes; a table of a paper has published figures without runs."""
    try:
        return views.choose_runs(names, runs)
    except IsbenchError:
        if not isinstance(view, PaperTable) or names:
            raise
        return [], []


def _choose_in_order(names: tuple[str, ...], runs: Path) -> list[Run]:
    """Return the chosen runs in the order of their names: pictures show the clicks of the first."""
    found = [run for name in names for run in views.choose_runs([name], runs)[0]]
    return list({run.path.resolve(): run for run in found}.values())


def _parse_view(text: str, metrics: Sequence[Metric]) -> str | PaperTable:
    """Return the name of a view, or the table of a paper that the text names."""
    known = (*tables.list_views(metrics), BOUNDARY)
    if text in known:
        return text
    table = find_table(text)
    if table is None:
        raise unknown("table", text, (*known, *list_tables()), "table")
    return table


def _check(form: str, options: ReportOptions) -> None:
    if form not in FORMATS:
        raise unknown("format", form, FORMATS, "format")
    check_least("max_clicks", options.max_clicks, 1)
    check_least("objects", options.objects, 1)
    check_least("pictures", options.pictures, 0)


def _list_warnings(runs: list[Run], needs_iou: bool) -> Iterator[str]:
    for run in runs:
        if not is_known(run.spec.dataset, run.spec.fingerprint):
            yield f"{run.path} was played on {run.spec.dataset} files with an unknown fingerprint"
    if needs_iou and not all(has_full_games(run.spec.rules) for run in runs):
        yield tables.FULL_GAMES


def _print_paper_table(paper_table: PaperTable, runs: list[Run], form: str) -> None:
    table, cells = all_tables.make_table(all_tables.collect_records(paper_table, runs))
    if form == "csv" and paper_table.render is None:  # one figure per line
        click.echo(format_cells(cells), nl=False)
    else:
        _print(table, form)


def _draw_pictures(chosen: list[Run], options: ReportOptions) -> None:
    """Draw the objects where two runs differ most, and print the figures of each model."""
    examples = list(load_examples(chosen, options.max_clicks, options.objects, options.data))
    for example in examples:
        sides = (
            f"{side.label} IoU {side.iou:.3f}, boundary IoU {side.boundary_iou:.3f}"
            f"{'' if side.exact else ' (differs from the record)'}"
            for side in example.sides
        )
        click.echo(f"{example.key} after {len(example.clicks)} clicks: {'; '.join(sides)}")
    click.echo(make_caption(examples))
    click.echo(str(views.save_pictures(examples, options.out)))


def _print_runs(runs: list[Run], view: str, form: str, options: ReportOptions) -> None:
    frame = tables.make_frame(runs, options.max_clicks, options.metrics)
    if form == "csv":
        click.echo(tables.format_csv(frame), nl=False)  # every figure, not only those of the view
    else:
        notes = (tables.LEGEND,) if form == "rich" else ()
        _print(replace(tables.make_table(frame, view, options.metrics), notes=notes), form)


def _print(table: TextTable, form: str) -> None:
    if form != "rich":
        click.echo(
            {"markdown": format_markdown, "latex": format_latex, "csv": format_csv}[form](table),
            nl=False,
        )
        return
    terminal = console()
    for part in make_terminal_tables(table, terminal.width if terminal.is_terminal else None):
        terminal.print(part)
    for note in table.notes:
        terminal.print(note)
