"""Completes the runs of a paper's tables and writes the tables next to the runs.

Not here: what remains to be played (`plan`), and the check of the records (`record_check`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from isbench.datasets import find_folder, load_dataset
from isbench.errors import IsbenchError, make_unknown_error
from isbench.evaluation import runner
from isbench.evaluation.runner import Silent, Watch
from isbench.files.atomic import write_atomically
from isbench.models.loading import load_model
from isbench.models.registry import check_libraries, describe_restriction
from isbench.papers import all_tables, plan
from isbench.papers.cells import Records
from isbench.papers.paper import Paper
from isbench.papers.plan import Plan, Task
from isbench.papers.register import read_register, write_times
from isbench.papers.registry import load_paper
from isbench.reporting import chosen_runs
from isbench.storage.processors import write_processors
from isbench.storage.store import Run
from isbench.types import LoadedModel

BUDGETS = ("full", "ci", "none")


class Reproduction(NamedTuple):
    """What was played, and the files of the tables."""

    played: tuple[Run, ...]
    files: tuple[Path, ...]


def reproduce(
    paper: Paper | str | None = None,
    tables: Sequence[str] = (),
    *,
    results: Path | str = "results",
    budget: str = "full",
    workers: int | None = 1,
    data: Path | str | None = None,
    watch: Watch = Silent(),
) -> Reproduction:
    """Play the runs that a paper's tables lack, as far as this machine can, and write the tables.

    Parameters
    ----------
    paper : Paper, str or None
        A paper or its name; None: the one that comes with isbench.
    tables : sequence of str
        The tables to complete the runs of; empty: all. All tables are written in any case.
    results : Path or str
        The folder of the runs and of the written tables.
    budget : str
        full: every missing run; ci: a few objects of the sample; none: nothing.
    workers : int or None
        As for `isbench.run`.
    data : Path, str or None
        The folder of the data sets, as for `load_dataset`.
    watch : Watch
        Callbacks for the progress; what is left out is a note.

    Returns
    -------
    Reproduction
        The runs that were played or found again, and the files of the tables.

    Raises
    ------
    IsbenchError
        For an unknown paper, table or budget, and a folder that cannot be written.
    """
    paper = paper if isinstance(paper, Paper) else load_paper(paper)
    chosen = [paper.find_table(one) for one in dict.fromkeys(tables)] or paper.tables
    if budget not in BUDGETS:
        raise make_unknown_error("budget", budget, BUDGETS, "budget")
    results, data = Path(results), None if data is None else Path(data)
    played: tuple[Run, ...] = ()
    runs, notes = load_runs(results)
    if budget != "none":
        register = read_register(results, runs)
        records = [all_tables.collect_records(table, runs, register) for table in chosen]
        planned = _make_plan(records, budget, data)
        for note in planned.left_out:
            watch.note(f"left out: {note}")
        played = tuple(play_tasks(planned.tasks, results, workers, data, watch))
        runs, notes = load_runs(results)
    write_processors(results, runs)
    write_times(results, read_register(results, runs))
    for note in notes:
        watch.note(note)
    return Reproduction(played, write_tables(paper, runs, results))


def play_tasks(
    tasks: Sequence[Task],
    results: Path,
    workers: int | None = 1,
    data: Path | None = None,
    watch: Watch = Silent(),
) -> Iterator[Run]:
    """Play planned runs and yield them; one without library or weights is left out and noted."""
    for number, task in enumerate(tasks, start=1):
        try:
            check_libraries(task.candidate.card)
            model = _load_model(task)
        except IsbenchError as error:  # this machine lacks a library or the weights
            watch.note(f"left out: {error}")
            continue
        watch.note(f"{number} of {len(tasks)}: {model.name} on {task.dataset}")
        if restriction := describe_restriction(model.card):
            watch.note(restriction)
        dataset = load_dataset(task.dataset, data, task.limit)
        yield runner.run(model, dataset, task.rules, out=results, workers=workers, watch=watch)


def write_tables(paper: Paper, runs: Sequence[Run], results: Path) -> tuple[Path, ...]:
    """Write all tables in every format and the data of the figures; return the files."""
    texts = all_tables.make_pages(paper, runs, read_register(results, runs))
    for name, text in texts.items():
        write_atomically(results / name, text.encode())
    return tuple(results / name for name in texts)


def _load_model(task: Task) -> LoadedModel:
    """Return the model of a task; networks are computed by the backend that records agree on."""
    card, options = task.candidate.card, task.candidate.options
    backend = "auto" if card.networks is None else "eager"
    return load_model(card, options, task.weights, backend=backend)


def load_runs(results: Path) -> chosen_runs.ChosenRuns:
    """Return the finished runs of a folder, possibly none, and notes on the others."""
    if not chosen_runs.has_finished(results):
        return chosen_runs.ChosenRuns([], [])
    return chosen_runs.choose_runs((), results)


def _make_plan(records: Sequence[Records], budget: str, data: Path | None) -> Plan:
    if budget == "ci":
        return plan.plan_small(records)
    return plan.plan_all(records, partial(_is_available, data=data))


def _is_available(name: str, data: Path | None) -> bool:
    return find_folder(name, data) is not None
