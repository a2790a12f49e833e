"""`isbench report`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from isbench import paper, tables
from isbench import report as views
from isbench.cli.options import console, runs_option
from isbench.datasets import is_known
from isbench.errors import IsbenchError, unknown
from isbench.registry import load_model
from isbench.sheet import FORMATS, Sheet, csv, latex, markdown, terminal
from isbench.store import Run


@click.command(short_help="Print tables and draw plots of runs.")
@click.argument("names", nargs=-1, metavar="[RUN]...")
@click.option(
    "--table",
    "view",
    help=f"Table to print: {', '.join(tables.VIEWS)}, or 4 of the CSFPN paper. [default: noc]",
)
@click.option(
    "--format",
    "form",
    default="rich",
    show_default=True,
    help=f"How to print it: {', '.join(FORMATS)}; csv holds every figure.",
)
@click.option("--plot", "plots", multiple=True, help="Plot to draw: iou_k, noc_hist. Repeatable.")
@click.option(
    "--max-clicks", type=int, default=20, show_default=True, help="Count games up to this click."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the plots; else plots in --runs."
)
@runs_option("Folder that runs are looked up in.")
def report(
    names: tuple[str, ...],
    view: str | None,
    form: str,
    plots: tuple[str, ...],
    max_clicks: int,
    out: Path | None,
    runs: Path,
) -> None:
    """Print a table of runs, or draw plots of them as PNG and SVG.

    RUN is a run's file, a folder of runs or the beginning of a digest; none means every run.

    \b
    Example:
      isbench report runs/grabcut --table nof --format markdown
      isbench report --plot iou_k --plot noc_hist
    """
    _check(view, form, max_clicks)
    chosen, notes = _runs(names, runs, view)
    needs_iou = not {"iou_k", "ioa_k"}.isdisjoint(plots) or view in ("iou", "all")
    for note in (*notes, *_remarks(chosen, needs_iou)):
        click.echo(f"isbench: {note}", err=True)
    for plot in plots:
        for path in views.save_plot(chosen, plot, max_clicks, out or runs / "plots"):
            click.echo(str(path))
    if view in PAPER:
        _print(PAPER[view](chosen), form)
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


def _check(view: str | None, form: str, max_clicks: int) -> None:
    if view is not None and view not in (*tables.VIEWS, *PAPER):
        raise unknown("table", view, (*tables.VIEWS, *PAPER))
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    if max_clicks < 1:
        raise IsbenchError(f"max-clicks is {max_clicks}; wanted at least 1")


def _remarks(runs: list[Run], needs_iou: bool) -> Iterator[str]:
    for run in runs:
        if not is_known(run.spec.dataset, run.spec.fingerprint):
            yield f"{run.path} was played on files of {run.spec.dataset} that are not known"
    if needs_iou and not all(map(tables.full_games, runs)):
        yield tables.FULL_GAMES


def _table4(runs: list[Run]) -> Sheet:
    from isbench.nn.cost import cost  # torch, which no other table waits for

    costs = {}
    for _, model, options in paper.TABLE4:
        card = load_model(model, options)
        assert card.network is not None
        network = partial(card.network, **card.options)
        at_size, at_flops = cost(network, paper.SIZE).whole, cost(network, paper.FLOPS_SIZE).whole
        flops = paper.PER_MAC * at_flops.macs
        counted = paper.Counted(at_size.parameters, at_size.macs, flops, card.options)
        costs[paper.row_name(model, options)] = counted
    return paper.table4(views.published(), costs, runs)


PAPER = {"4": _table4}  # the CSFPN paper's tables by number


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
