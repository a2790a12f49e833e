"""`isbench reproduce`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from isbench.cli.options import data_option
from isbench.cli.paths import OUTPUT_FOLDER
from isbench.cli.progress import Reporter
from isbench.cli.streams import print_line
from isbench.cli.tables import print_table
from isbench.cli.usage import refuse_lists
from isbench.cli.workers import parse_workers, workers_option
from isbench.errors import IsbenchError, make_unknown_error
from isbench.papers import Paper, reproduction
from isbench.papers.figure_files import draw_figures
from isbench.papers.record_check import check_records
from isbench.papers.registry import list_paper_names, load_paper
from isbench.papers.reproduction import BUDGETS
from isbench.papers.requirement_formats import FORMATS
from isbench.papers.requirements import list_requirements
from isbench.reporting import tables
from isbench.storage import store
from isbench.storage.store import Run

NEED_DATA = "ISBENCH_NEED_DATA"  # set where missing data is a failure, as in CI


@click.command(short_help="Complete the runs of a paper's tables and write the tables.")
@click.option(
    "--paper",
    "name",
    help=f"Paper: {', '.join(list_paper_names())}. [default: the one that comes with isbench]",
)
@click.option(
    "--table",
    "names",
    metavar="NUMBER",
    multiple=True,
    callback=refuse_lists,
    help="Table of the paper to complete the runs of. Repeatable. [default: all]",
)
@click.option(
    "--figure",
    "figures",
    metavar="NUMBER",
    multiple=True,
    callback=refuse_lists,
    help="Figure of the paper to draw from the recorded runs. Plays nothing and writes no table. "
    "Repeatable.",
)
@click.option(
    "--budget",
    default="full",
    show_default=True,
    help="What to play. full: every missing run; ci: a few objects of the sample, or with --check "
    "of every run; none: nothing.",
)
@click.option(
    "--results",
    type=OUTPUT_FOLDER,
    default=Path("results"),
    show_default=True,
    help="Folder of the runs and of the written tables.",
)
@click.option(
    "--out",
    type=OUTPUT_FOLDER,
    help="With --figure, folder of the PNG and SVG files. [default: RESULTS]",
)
@click.option(
    "--check",
    is_flag=True,
    help="Write nothing: compare the tables and the figures' data with the runs, and the runs with "
    "replayed games.",
)
@click.option(
    "--plan",
    is_flag=True,
    help="Play and write nothing: list what each row needs on each data set.",
)
@click.option(
    "--measure",
    is_flag=True,
    help="With --plan, play two clicks of each model with random weights to know its time. "
    "[default: times of recorded runs]",
)
@click.option(
    "--format",
    "form",
    default="text",
    show_default=True,
    help=f"Format of the plan: {', '.join(FORMATS)}.",
)
@workers_option
@data_option
def reproduce(
    name: str | None,
    names: tuple[str, ...],
    figures: tuple[str, ...],
    budget: str,
    results: Path,
    out: Path | None,
    check: bool,
    plan: bool,
    measure: bool,
    form: str,
    workers: str,
    data: Path | None,
) -> int:
    """Complete the runs of a paper's tables and write the tables next to the runs.

    This plays what this machine can: models without weights or with local weights, on data sets on
    disk. Everything else is listed as left out. TABLES.md, tables.html and tables.csv contain every
    table, and figureN.csv the data of a figure, made from all recorded runs, so each paper needs a
    folder of its own; MACHINE contains the processor of each run, and seconds.csv its times.

    With --plan, list for each row of a table and each data set the command that measures it, what
    is missing (weights, data, a library) and how to get it, and how long it takes on this machine.

    \b
    Example:
      isbench reproduce --table 1 --data ../data
      isbench reproduce --table 1 --plan --measure
      isbench reproduce --figure 3 --figure 4 --data ../data
      isbench reproduce --check --budget ci
    """
    count = parse_workers(workers)
    if form not in FORMATS:
        raise make_unknown_error("format", form, FORMATS, "format")
    _check_plan(plan, check, measure, form)
    if out is not None and not figures:
        raise IsbenchError("--out was given without --figure; add --figure, or leave it out")
    if figures:
        _refuse(
            "--figure", "it only draws from recorded runs", table=(names, ()), check=(check, False),
            plan=(plan, False), budget=(budget, "full"), workers=(workers, "auto"),
        )  # fmt: skip
        return _print_paths(draw_figures(name, figures, results=results, out=out, data=data))
    if plan:
        _refuse("--plan", "it plays nothing", budget=(budget, "full"), workers=(workers, "auto"))
        with Reporter() as reporter:
            found = list_requirements(
                name, names, results=results, data=data, measure=measure, watch=reporter
            )
        click.echo(FORMATS[form](found), nl=False)
        return 0
    if check:
        if budget not in BUDGETS:
            raise make_unknown_error("budget", budget, BUDGETS, "budget")
        _refuse(
            "--check",
            "it checks every table in one process",
            table=(names, ()),
            workers=(workers, "auto"),
        )
        return _check_records(load_paper(name), results, budget, data)
    with Reporter() as reporter:
        done = reproduction.reproduce(
            name, names, results=results, budget=budget, workers=count, data=data, watch=reporter
        )
    if budget != "none":
        _print_runs(done.played)
    return _print_paths(done.files)


def _check_records(paper: Paper, results: Path, budget: str, data: Path | None) -> int:
    """Print one line per finding and their counts; return 1 if the check fails, else 0."""
    found: Counter[str] = Counter()
    for finding in check_records(paper, results, budget, data):
        found[finding.kind] += 1
        found["lacking"] += finding.lacking
        if finding.text:
            print_line(f"{finding.kind}: {finding.text}")
    drifts = found["drift"]
    click.echo(
        f"{len(store.find(results))} runs, {found['replayed']} replayed, "
        f"{found['skipped']} skipped, {drifts} drift{'' if drifts == 1 else 's'}"
    )
    needed = bool(os.environ.get(NEED_DATA)) and found["lacking"] > 0
    if needed:
        click.echo(
            f"isbench: {found['lacking']} runs could not be replayed and {NEED_DATA} is set; pass "
            "the data folder with --data, download the weights, or unset the variable",
            err=True,
        )
    return 1 if drifts or needed else 0


def _print_paths(paths: Sequence[Path]) -> int:
    for path in paths:
        click.echo(str(path))
    return 0


def _check_plan(plan: bool, check: bool, measure: bool, form: str) -> None:
    if plan and check:
        raise IsbenchError("--plan was given with --check; leave one of them out")
    for option, given in (("--measure", measure), ("--format", form != "text")):
        if given and not plan:
            raise IsbenchError(f"{option} was given without --plan; add --plan, or leave it out")


def _refuse(flag: str, reason: str, **options: tuple[object, object]) -> None:
    """Raise IsbenchError for an option that a flag leaves without effect.

    `options` are the given and the usual value by name.
    """
    for option, (given, usual) in options.items():
        if given != usual:
            raise IsbenchError(
                f"{flag} was given with --{option}, but {reason}; leave --{option} out"
            )


def _print_runs(runs: Sequence[Run]) -> None:
    if not runs:
        click.echo("nothing to play", err=True)
        return
    print_table(tables.make_table(tables.make_rows(runs), "noc"))
