"""`isbench reproduce`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from isbench.cli.checking import check_records
from isbench.cli.networks import NetworkOptions, with_network
from isbench.cli.options import console, data_option
from isbench.cli.processors import write_processors
from isbench.cli.progress import Reporter
from isbench.cli.workers import parse_workers, workers_option
from isbench.datasets import find_folder, load_dataset
from isbench.errors import IsbenchError, unknown
from isbench.evaluation import job, runner
from isbench.files.atomic import write_atomically
from isbench.papers import all_tables, plan
from isbench.papers.plan import Plan, Task
from isbench.papers.published import read_published
from isbench.reporting import tables, text_table, writer
from isbench.storage.store import Run

BUDGETS = ("full", "ci", "none")


@click.command(short_help="Complete the runs of the paper's tables and write the tables.")
@click.option(
    "--table",
    "numbers",
    type=int,
    multiple=True,
    help="Table to complete the runs of: 1 to 4. Repeatable. [default: all]",
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
    numbers: tuple[int, ...],
    budget: str,
    results: Path,
    check: bool,
    workers: str,
    data: Path | None,
) -> int:
    """Complete the runs of the CSFPN paper's tables and write the tables next to the runs.

    This plays what this machine can: models without weights or with local weights, on data sets on
    disk. Everything else is listed as left out. TABLES.md, tables.html and tables.csv contain every
    table, made from all recorded runs; MACHINE contains the processor of each run.

    \b
    Example:
      isbench reproduce --table 1 --data ../data
      isbench reproduce --check --budget ci
    """
    _check_options(numbers, budget)
    parse_workers(workers, ())
    if check:
        _check_conflicts(numbers, workers)
        return check_records(results, budget, data)
    chosen = tuple(dict.fromkeys(numbers)) or all_tables.NUMBERS
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
    for path in write(runs, results):
        click.echo(str(path))
    return 0


def write(runs: Sequence[Run], results: Path) -> tuple[Path, ...]:
    """Write the tables in every format and return the files."""
    texts = all_tables.make_pages(read_published(), runs)
    for name, text in texts.items():
        write_atomically(results / name, text.encode())
    return tuple(results / name for name in texts)


def _check_options(numbers: Sequence[int], budget: str) -> None:
    for number in numbers:
        if number not in all_tables.NUMBERS:
            raise unknown("table of the paper", str(number), map(str, all_tables.NUMBERS))
    if budget not in BUDGETS:
        raise unknown("budget", budget, BUDGETS)


def _check_conflicts(numbers: Sequence[int], workers: str) -> None:
    for option, given in (("--table", numbers), ("--workers", workers != "auto")):
        if given:
            raise IsbenchError(
                f"--check was given with {option}, but it checks every table in one process; "
                f"leave {option} out"
            )


def _load_runs(results: Path) -> tuple[list[Run], list[str]]:
    """Return the finished runs of a folder, possibly none, and notes on the others."""
    return writer.choose_runs((), results) if writer.has_finished(results) else ([], [])


def _make_plan(numbers: Sequence[int], budget: str, runs: list[Run], data: Path | None) -> Plan:
    published = read_published()
    records = {number: all_tables.collect_records(number, published, runs) for number in numbers}
    if budget == "ci":
        return plan.plan_small(records)
    return plan.plan_all(records, lambda name: find_folder(name, data) is not None)


def _play(tasks: Sequence[Task], results: Path, workers: str, data: Path | None) -> list[Run]:
    played = []
    with Reporter() as reporter:
        for number, task in enumerate(tasks, start=1):
            card = task.candidate.card
            try:
                card = with_network(card, NetworkOptions(task.weights, "auto", "fp32", 1, "eager"))
                job.build_predictor(card)
            except IsbenchError as error:  # a library is missing on this machine
                reporter.note(f"left out: {error}")
                continue
            reporter.note(f"{number} of {len(tasks)}: {card.name} on {task.dataset}")
            dataset = load_dataset(task.dataset, data, task.limit)
            count = parse_workers(workers, [card])
            played.append(
                runner.run(card, dataset, task.rules, out=results, workers=count, watch=reporter)
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
