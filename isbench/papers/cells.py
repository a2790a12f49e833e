"""Cells of the paper's tables: what is printed, what is measured, and the run behind it, in words.

Not here: which cells a table has (`rows`), and which run counts (`evidence`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from isbench.papers.candidates import Candidate
from isbench.papers.published import Figure
from isbench.papers.rows import Question, Row
from isbench.papers.run_selection import Found, Measured, list_differences, measure, select_run
from isbench.storage import store
from isbench.storage.store import Run

NO_FIGURE = "–"  # where ours stands beside none of the paper's


@dataclass(frozen=True)
class Records:
    """All that the tables are made of."""

    published: Sequence[Figure]
    entrants: Mapping[Row, Candidate | None]
    runs: Sequence[Run]


class Cell(NamedTuple):
    """A figure of the paper beside ours; either may be missing."""

    table: int
    row: Row
    question: Question
    printed: float | None
    ours: Measured | None
    found: Found


def make_cells(table: int, row: Row, questions: Sequence[Question], records: Records) -> list[Cell]:
    """Return a row's cells."""
    return [_cell(table, row, question, records) for question in questions]


def _cell(table: int, row: Row, question: Question, records: Records) -> Cell:
    entrant = records.entrants.get(row)
    found = Found(None) if entrant is None else select_run(records.runs, entrant, question)
    ours = None if found.run is None else measure(found.run, question)
    return Cell(table, row, question, _find_printed(table, row, question, records), ours, found)


def _find_printed(table: int, row: Row, question: Question, records: Records) -> float | None:
    if not row.system:
        return None
    for figure in records.published:
        place = (figure.table, figure.system, figure.backbone, figure.trained_on)
        asked = Question(figure.dataset, figure.max_clicks or 0, figure.metric)
        if place == (table, row.system, row.backbone, row.trained_on) and asked == question:
            return figure.value
    return None


def format_cell(cell: Cell, interval: bool = False) -> str:
    """Return a cell as "printed / ours", as the printed figure alone, or blank."""
    digits = 0 if cell.question.metric.startswith("nof") else 2
    printed = "" if cell.printed is None else f"{cell.printed:.{digits}f}"
    if cell.ours is None:
        return printed
    ours = f"{cell.ours.value:.{digits}f}"
    if interval and cell.ours.low is not None and cell.ours.high is not None:
        ours += f" [{cell.ours.low:.2f}, {cell.ours.high:.2f}]"
    return f"{printed or NO_FIGURE} / {ours}"


def describe_provenance(row: Row, found: Sequence[Cell], records: Records) -> Iterator[str]:
    """Yield how a row's figures were measured, and which cells are blank since runs collide."""
    runs = list({cell.found.run.path: cell.found.run for cell in found if cell.found.run}.values())
    if runs:
        candidate = records.entrants.get(row)
        yield f"{row.name}: {'; '.join(_describe_run(run, candidate) for run in runs)}."
    said = set()
    for cell in found:
        runs = list(cell.found.colliding)
        digests = ", ".join(store.digest_of_path(run.path) for run in runs)
        if runs and digests not in said:
            said.add(digests)
            yield (
                f"{row.name} on {cell.question.dataset} is left blank: runs {digests} fit and "
                f"differ in {', '.join(list_differences(runs))}; move all but one out of "
                "the folder."
            )


def _describe_run(run: Run, entrant: Candidate | None) -> str:
    spec = run.spec
    told = f"{spec.dataset} {len(run.trajectories)} objects, run {store.digest_of_path(run.path)}"
    if spec.weights is not None:
        names = {w.digest: w.name for w in entrant.weights} if entrant else {}
        name = names.get(spec.weights)
        told += f", weights {f'{name} ' if name else ''}{spec.weights[:12]}"
    if spec.backend not in (None, "eager-cpu") or spec.precision not in (None, "fp32"):
        told += f", {spec.backend} {spec.precision}"
    return told


HEADS = (
    "table", "system", "backbone", "trained_on", "model", "dataset", "max_clicks", "metric",
    "published", "measured", "low", "high", "objects", "weights", "run",
)  # fmt: skip


def format_cells(found: Sequence[Cell]) -> str:
    """Return cells as csv, a line each with its head; what is missing is empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HEADS)
    writer.writerows(map(_line, found))
    return buffer.getvalue()


def _line(cell: Cell) -> tuple[object, ...]:
    row, (dataset, max_clicks, metric), run = cell.row, cell.question, cell.found.run
    who = (cell.table, row.system, row.backbone, row.trained_on, row.name)
    figures: tuple[object, ...] = (None, None, None) if cell.ours is None else cell.ours
    how: tuple[object, ...] = (None, None, None)
    if run is not None:
        how = (len(run.trajectories), run.spec.weights, store.digest_of_path(run.path))
    return (*who, dataset, max_clicks, metric, cell.printed, *figures, *how)
