"""Plans the runs that a paper's tables still need, and lists what cannot be played and why.

Not here: playing. A cell with a matching run, or with conflicting runs, needs no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from isbench.papers.candidates import Candidate, explain_no_model
from isbench.papers.cells import Records
from isbench.papers.rows import Question, Row
from isbench.papers.run_selection import select_run
from isbench.types import Rules

SMALL = ("sample", 4)  # the bundled data set, and the number of its objects that CI plays


class Task(NamedTuple):
    """A run to play: a card with its options, a data set and rules."""

    candidate: Candidate
    dataset: str
    rules: Rules
    limit: int | None = None

    @property
    def weights(self) -> str | None:
        """Return the name of the weights, None for a model without a network."""
        return next((one.name for one in self.candidate.weights if one.path is not None), None)


class Plan(NamedTuple):
    """The runs to play, and descriptions of what is left out."""

    tasks: tuple[Task, ...]
    left_out: tuple[str, ...]


def plan_all(records: Sequence[Records], is_available: Callable[[str], bool]) -> Plan:
    """Return the missing runs of some tables; `is_available` says whether a data set is here."""
    tasks: dict[tuple[object, ...], Task] = {}
    for records_of_table in records:
        for row, question in _find_missing_cells(records_of_table):
            candidate = records_of_table.candidates[row]
            if candidate is None or candidate.why_not or not is_available(question.dataset):
                continue
            task = Task(candidate, question.dataset, records_of_table.table.rules)
            tasks.setdefault(_make_identity(task), task)
    return Plan(tuple(tasks.values()), tuple(_explain_left_out(records, is_available)))


def plan_small(records: Sequence[Records]) -> Plan:
    """Return a smoke test: a few objects of the sample for every row that can be played."""
    dataset, limit = SMALL
    tasks: dict[tuple[object, ...], Task] = {}
    for records_of_table in records:
        for candidate in records_of_table.candidates.values():
            if candidate is not None and not candidate.why_not:
                task = Task(candidate, dataset, Rules(), limit)
                tasks.setdefault(_make_identity(task), task)
    excluded = f"every table, except {limit} objects of {dataset}, which no cell counts"
    return Plan(tuple(tasks.values()), (excluded, *_explain_models_left_out(records)))


def _find_missing_cells(records_of_table: Records) -> Iterator[tuple[Row, Question]]:
    for row, candidate in records_of_table.candidates.items():
        for question in records_of_table.table.questions:
            if candidate is None:
                continue
            found = select_run(records_of_table.runs, candidate, question)
            if found.run is None and not found.colliding:
                yield row, question


def _make_identity(task: Task) -> tuple[object, ...]:
    options = tuple(sorted(task.candidate.options.items()))
    return task.candidate.card.name, options, task.weights, task.dataset, task.rules


def _explain_left_out(
    records: Sequence[Records], is_available: Callable[[str], bool]
) -> Iterator[str]:
    wanted = (question.dataset for one in records for question in one.table.questions)
    missing = [name for name in dict.fromkeys(wanted) if not is_available(name)]
    if missing:
        yield f"{', '.join(missing)}: the data are not here (`isbench data list`)"
    yield from _explain_models_left_out(records)


def _explain_models_left_out(records: Sequence[Records]) -> Iterator[str]:
    names_by_reason: dict[str, list[str]] = {}
    for records_of_table in records:
        for row, candidate in records_of_table.candidates.items():
            missing = records_of_table.faults.get(row, explain_no_model(row))
            reason = missing if candidate is None else candidate.why_not
            names = names_by_reason.setdefault(reason, [])
            shown = row.name or row.system
            name = f"{shown} ({row.trained_on})" if row.trained_on else shown
            if reason and name not in names:
                names.append(name)
    for reason, names in names_by_reason.items():
        if names:
            yield f"{', '.join(names)}: {reason}"
