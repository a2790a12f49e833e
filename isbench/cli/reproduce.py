"""`isbench reproduce`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import click

from isbench.cli.networks import NetworkOptions, load_with_progress
from isbench.cli.options import console, data_option
from isbench.cli.progress import Reporter
from isbench.cli.workers import parse_workers, workers_option
from isbench.datasets import find_folder, load_dataset
from isbench.errors import IsbenchError, unknown
from isbench.evaluation import runner
from isbench.evaluation.replay_check import Depth
from isbench.files.atomic import write_atomically
from isbench.models.predictor import build_predictor
from isbench.papers import Paper, PaperTable, all_tables, plan
from isbench.papers.plan import Plan, Task
from isbench.papers.record_check import Finding, check_runs, check_tables
from isbench.papers.registry import load_paper, paper_names
from isbench.reporting import tables, text_table, writer
from isbench.storage.processors import write_processors
from isbench.storage.store import Run

# what --check replays of each run, by budget
DEPTHS = {"full": Depth(3, 20), "ci": Depth(2, 10)}
BUDGETS = (*DEPTHS, "none")
NEED_DATA = "ISBENCH_NEED_DATA"  # set where missing data is a failure, as in CI


@click.command(short_help="Complete the runs of a paper's tables and write the tables.")
@click.option(
    "--paper",
    "name",
    help=f"Paper: {', '.join(paper_names())}. [default: the one that comes with isbench]",
)
@click.option(
    "--table",
    "names",
    metavar="NUMBER",
    multiple=True,
    help="Table of the paper to complete the runs of. Repeatable. [default: all]",
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
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Folder of the runs and of the written tables.",
)
@click.option(
    "--check",
    is_flag=True,
    help="Write nothing: compare the tables with the runs, and the runs with replayed games.",
)
@workers_option
@data_option
def reproduce(
    name: str | None,
    names: tuple[str, ...],
    budget: str,
    results: Path,
    check: bool,
    workers: str,
    data: Path | None,
) -> int:
    """Complete the runs of a paper's tables and write the tables next to the runs.

    This plays what this machine can: models without weights or with local weights, on data sets on
    disk. Everything else is listed as left out. TABLES.md, tables.html and tables.csv contain every
    table, made from all recorded runs, so each paper needs a folder of its own; MACHINE contains
    the processor of each run.

    \b
    Example:
      isbench reproduce --table 1 --data ../data
      isbench reproduce --check --budget ci
    """
    paper = load_paper(name)
    chosen = [paper.find_table(one) for one in dict.fromkeys(names)] or paper.tables
    if budget not in BUDGETS:
        raise unknown("budget", budget, BUDGETS)
    parse_workers(workers, ())
    if check:
        _check_conflicts(names, workers)
        return _check_records(paper, results, budget, data)
    runs, notes = _load_runs(results)
    if budget != "none":
        planned = _make_plan(chosen, budget, runs, data)
        for note in planned.left_out:
            click.echo(f"left out: {note}", err=True)
        _print_runs(_play(planned.tasks, results, workers, data))
        runs, notes = _load_runs(results)
    write_processors(results, runs)
    for note in notes:
        click.echo(f"isbench: {note}", err=True)
    for path in write(paper, runs, results):
        click.echo(str(path))
    return 0


def write(paper: Paper, runs: Sequence[Run], results: Path) -> tuple[Path, ...]:
    """Write the tables in every format and return the files."""
    texts = all_tables.make_pages(paper, runs)
    for name, text in texts.items():
        write_atomically(results / name, text.encode())
    return tuple(results / name for name in texts)


def _check_records(paper: Paper, results: Path, budget: str, data: Path | None) -> int:
    """Print one line per finding and their counts; return 1 if the check fails, else 0."""
    runs, notes = writer.choose_runs((), results)
    found: Counter[str] = Counter()
    findings: Iterable[Finding] = check_tables(paper, runs, results)
    if budget in DEPTHS:
        findings = chain(findings, check_runs(runs, results, DEPTHS[budget], data))
    for finding in findings:
        found[finding.kind] += 1
        found["lacking"] += finding.lacking
        if finding.text:
            click.echo(f"{finding.kind}: {finding.text}", err=True)
    for note in notes:
        click.echo(f"skipped: {note}", err=True)
    drifts = found["drift"]
    click.echo(
        f"{len(runs) + len(notes)} runs, {found['replayed']} replayed, "
        f"{found['skipped'] + len(notes)} skipped, {drifts} drift{'' if drifts == 1 else 's'}"
    )
    needed = bool(os.environ.get(NEED_DATA)) and found["lacking"] > 0
    if needed:
        click.echo(
            f"isbench: {found['lacking']} runs could not be replayed and {NEED_DATA} is set; pass "
            "the data folder with --data, download the weights, or unset the variable",
            err=True,
        )
    return 1 if drifts or needed else 0


def _check_conflicts(names: Sequence[str], workers: str) -> None:
    for option, given in (("--table", names), ("--workers", workers != "auto")):
        if given:
            raise IsbenchError(
                f"--check was given with {option}, but it checks every table in one process; "
                f"leave {option} out"
            )


def _load_runs(results: Path) -> tuple[list[Run], list[str]]:
    """Return the finished runs of a folder, possibly none, and notes on the others."""
    return writer.choose_runs((), results) if writer.has_finished(results) else ([], [])


def _make_plan(
    chosen: Sequence[PaperTable], budget: str, runs: list[Run], data: Path | None
) -> Plan:
    records = [all_tables.collect_records(table, runs) for table in chosen]
    if budget == "ci":
        return plan.plan_small(records)
    return plan.plan_all(records, lambda name: find_folder(name, data) is not None)


def _play(tasks: Sequence[Task], results: Path, workers: str, data: Path | None) -> list[Run]:
    played = []
    with Reporter() as reporter:
        for number, task in enumerate(tasks, start=1):
            candidate = task.candidate
            network = candidate.card.networks is not None
            options = NetworkOptions(task.weights, backend="eager" if network else "auto")
            try:
                model = load_with_progress(candidate.card, candidate.options, options)
                build_predictor(model)
            except IsbenchError as error:  # a library is missing on this machine
                reporter.note(f"left out: {error}")
                continue
            reporter.note(f"{number} of {len(tasks)}: {model.name} on {task.dataset}")
            dataset = load_dataset(task.dataset, data, task.limit)
            count = parse_workers(workers, [model])
            played.append(
                runner.run(model, dataset, task.rules, out=results, workers=count, watch=reporter)
            )
    return played


def _print_runs(runs: Sequence[Run]) -> None:
    if not runs:
        click.echo("nothing to play", err=True)
        return
    terminal = console()
    width = terminal.width if terminal.is_terminal else None
    for table in text_table.make_terminal_tables(
        tables.make_table(tables.make_frame(runs), "noc"), width
    ):
        terminal.print(table)
