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
from isbench.papers import all_tables, plan
from isbench.papers.plan import Plan, Task
from isbench.reporting import tables, text_table, writer
from isbench.storage.store import Run

BUDGETS = ("full", "ci", "none")


@click.command(short_help="Play what the paper's tables lack, and write them.")
@click.option(
    "--table", "numbers", type=int, multiple=True, help="Table to play for: 1 to 4. [default: all]"
)
@click.option(
    "--budget",
    default="full",
    show_default=True,
    help="full; ci: a few objects of the sample, with --check of every run; none: play nothing.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Folder of the runs, and of the tables that are written.",
)
@click.option(
    "--check",
    is_flag=True,
    help="Write nothing: compare the tables with the records, and records with games played again.",
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
    """Play what is missing for the tables of the CSFPN paper, and write them beside the runs.

    Played is what this machine can: models without weights or with weights at hand, on the data
    sets that are here; what is left out is said. TABLES.md, tables.html and tables.csv hold every
    table, from whatever is recorded; MACHINE holds which processor the runs were played on.

    \b
    Example:
      isbench reproduce --table 1 --data ../data
      isbench reproduce --check --budget ci
    """
    _refuse(numbers, budget)
    parse_workers(workers, ())
    if check:
        _refuse_with_check(numbers, workers)
        return check_records(results, budget, data)
    chosen = tuple(dict.fromkeys(numbers)) or all_tables.NUMBERS
    found, notes = _recorded(results)
    if budget != "none":
        asked = _planned(chosen, budget, found, data)
        for note in asked.left_out:
            click.echo(f"left out: {note}", err=True)
        played = _play(asked.tasks, results, workers, data)
        _show(played)
        found, notes = _recorded(results)
    write_processors(results, found)
    for note in notes:
        click.echo(f"isbench: {note}", err=True)
    for path in write(found, results):
        click.echo(str(path))
    return 0


def write(runs: Sequence[Run], results: Path) -> tuple[Path, ...]:
    """Write the tables in every form and return the files."""
    texts = all_tables.make_pages(writer.read_published(), runs)
    for name, text in texts.items():
        writer.write_text(results / name, text)
    return tuple(results / name for name in texts)


def _refuse(numbers: Sequence[int], budget: str) -> None:
    for number in numbers:
        if number not in all_tables.NUMBERS:
            raise unknown("table of the paper", str(number), map(str, all_tables.NUMBERS))
    if budget not in BUDGETS:
        raise unknown("budget", budget, BUDGETS)


def _refuse_with_check(numbers: Sequence[int], workers: str) -> None:
    for option, given in (("--table", numbers), ("--workers", workers != "auto")):
        if given:
            raise IsbenchError(
                f"--check was given with {option}; it is of every table and plays in one process: "
                f"leave {option} out"
            )


def _recorded(results: Path) -> tuple[list[Run], list[str]]:
    """Return the finished runs of a folder, none where it has none, and notes on the others."""
    return writer.choose_runs((), results) if writer.has_finished(results) else ([], [])


def _planned(numbers: Sequence[int], budget: str, runs: list[Run], data: Path | None) -> Plan:
    published = writer.read_published()
    records = {number: all_tables.collect_records(number, published, runs) for number in numbers}
    if budget == "ci":
        return plan.plan_small(records)
    return plan.plan_all(records, lambda name: find_folder(name, data) is not None)


def _play(tasks: Sequence[Task], results: Path, workers: str, data: Path | None) -> list[Run]:
    played = []
    with Reporter() as reporter:
        for number, task in enumerate(tasks, start=1):
            card = task.entrant.card
            try:
                card = with_network(card, NetworkOptions(task.weights, "auto", "fp32", 1, "eager"))
                job.build_predictor(card)
            except IsbenchError as error:  # a library that this machine lacks
                reporter.note(f"left out: {error}")
                continue
            reporter.note(f"{number} of {len(tasks)}: {card.name} on {task.dataset}")
            dataset = load_dataset(task.dataset, data, task.limit)
            count = parse_workers(workers, [card])
            played.append(
                runner.run(card, dataset, task.rules, out=results, workers=count, watch=reporter)
            )
    return played


def _show(runs: Sequence[Run]) -> None:
    if not runs:
        click.echo("nothing to play", err=True)
        return
    terminal = console()
    width = terminal.width if terminal.is_terminal else None
    for table in text_table.make_terminal_tables(
        tables.make_table(tables.make_frame(runs), "noc"), width
    ):
        terminal.print(table)
