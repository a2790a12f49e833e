"""What has to be played for tables of the paper, and what cannot be, and why.

Not here: playing. A cell with a run behind it, or over which runs collide, asks for no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from isbench.papers.candidates import Candidate
from isbench.papers.cells import Records
from isbench.papers.rows import QUESTIONS, RULES, Question, Row
from isbench.papers.run_selection import select_run
from isbench.types import Rules

SMALL = ("sample", 4)  # the data set that is always there, and how many of its objects CI plays


class Task(NamedTuple):
    """A run to be played: a card with its options, weights by name, data and rules."""

    entrant: Candidate
    dataset: str
    rules: Rules
    limit: int | None = None

    @property
    def weights(self) -> str | None:
        """Return the name of the weights, None for a model without a network."""
        return next((one.name for one in self.entrant.weights if one.path is not None), None)


class Plan(NamedTuple):
    """What to play, and in words what is left out."""

    tasks: tuple[Task, ...]
    left_out: tuple[str, ...]


def plan_all(records: Mapping[int, Records], there: Callable[[str], bool]) -> Plan:
    """Return what is missing for the tables that the records are of; `there` tells of data sets."""
    tasks: dict[tuple[object, ...], Task] = {}
    for number, known in records.items():
        for row, question in _missing(number, known):
            entrant = known.entrants[row]
            if entrant is None or entrant.why_not or not there(question.dataset):
                continue
            task = Task(entrant, question.dataset, RULES[number])
            tasks.setdefault(_identity(task), task)
    return Plan(tuple(tasks.values()), tuple(_left_out(records, there)))


def plan_small(records: Mapping[int, Records]) -> Plan:
    """Return a few objects of the sample for every row that can be played: that it works at all."""
    dataset, limit = SMALL
    tasks: dict[tuple[object, ...], Task] = {}
    for known in records.values():
        for entrant in known.entrants.values():
            if entrant is not None and not entrant.why_not:
                task = Task(entrant, dataset, Rules(), limit)
                tasks.setdefault(_identity(task), task)
    nothing = f"of every table all but {limit} objects of {dataset}, which no cell counts"
    return Plan(tuple(tasks.values()), (nothing, *_models_left_out(records)))


def _missing(number: int, known: Records) -> Iterator[tuple[Row, Question]]:
    for row, entrant in known.entrants.items():
        for question in QUESTIONS[number]:
            if entrant is None:
                continue
            found = select_run(known.runs, entrant, question)
            if found.run is None and not found.colliding:
                yield row, question


def _identity(task: Task) -> tuple[object, ...]:
    card = task.entrant.card
    options = tuple(sorted(card.options.items()))
    return card.name, options, task.weights, task.dataset, task.rules


def _left_out(records: Mapping[int, Records], there: Callable[[str], bool]) -> Iterator[str]:
    asked = (question.dataset for number in records for question in QUESTIONS[number])
    absent = [name for name in dict.fromkeys(asked) if not there(name)]
    if absent:
        yield f"{', '.join(absent)}: the data are not here (`isbench data list`)"
    yield from _models_left_out(records)


def _models_left_out(records: Mapping[int, Records]) -> Iterator[str]:
    lacking: dict[str, list[str]] = {}
    for known in records.values():
        for row, entrant in known.entrants.items():
            why = "isbench has no such model" if entrant is None else entrant.why_not
            names = lacking.setdefault(why, [])
            shown = row.name or row.system
            name = f"{shown} ({row.trained_on})" if row.trained_on else shown
            if why and name not in names:
                names.append(name)
    for why, names in lacking.items():
        if names:
            yield f"{', '.join(names)}: {why}"
