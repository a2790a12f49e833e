"""`isbench report`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from isbench import report as views
from isbench import tables
from isbench.cli.options import console, runs_option
from isbench.datasets import is_known
from isbench.errors import IsbenchError, unknown
from isbench.store import Run


@click.command(short_help="Print tables and draw plots of runs.")
@click.argument("names", nargs=-1, metavar="[RUN]...")
@click.option("--table", "view", help=f"Table to print: {', '.join(tables.VIEWS)}. [default: noc]")
@click.option(
    "--format",
    "form",
    default="rich",
    show_default=True,
    help=f"How to print it: {', '.join(tables.FORMATS)}; csv holds every figure.",
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
    if view is not None and view not in tables.VIEWS:
        raise unknown("table", view, tables.VIEWS)
    if form not in tables.FORMATS:
        raise unknown("format", form, tables.FORMATS)
    if max_clicks < 1:
        raise IsbenchError(f"max-clicks is {max_clicks}; wanted at least 1")
    chosen, notes = views.choose(names, runs)
    needs_iou = not {"iou_k", "ioa_k"}.isdisjoint(plots) or view in ("iou", "all")
    for note in (*notes, *_remarks(chosen, needs_iou)):
        click.echo(f"isbench: {note}", err=True)
    for plot in plots:
        for path in views.save_plot(chosen, plot, max_clicks, out or runs / "plots"):
            click.echo(str(path))
    if view is not None or not plots:
        _print(chosen, view or "noc", form, max_clicks)


def _remarks(runs: list[Run], needs_iou: bool) -> Iterator[str]:
    for run in runs:
        if not is_known(run.spec.dataset, run.spec.fingerprint):
            yield f"{run.path} was played on files of {run.spec.dataset} that are not known"
    if needs_iou and not all(map(tables.full_games, runs)):
        yield tables.FULL_GAMES


def _print(runs: list[Run], view: str, form: str, max_clicks: int) -> None:
    table = tables.frame(runs, max_clicks)
    if form == "csv":
        click.echo(tables.csv(table), nl=False)
    elif form == "markdown":
        click.echo(tables.markdown(table, view), nl=False)
    elif form == "latex":
        click.echo(tables.latex(table, view), nl=False)
    else:
        terminal = console()
        for drawn in tables.terminal(table, view, terminal.width if terminal.is_terminal else None):
            terminal.print(drawn)
        terminal.print(tables.LEGEND)
