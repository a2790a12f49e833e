"""Cells of a paper's tables: the published figure, the measured one, and the run behind it.

Not here: which cells a table has (`paper`), and which run counts (`run_selection`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from isbench.papers.candidates import Candidate
from isbench.papers.paper import PaperTable
from isbench.papers.register import NO_REGISTER, Register
from isbench.papers.rows import Question, Row
from isbench.papers.run_selection import (
    Measurement,
    Selection,
    list_differences,
    measure,
    select_run,
)
from isbench.reporting.text_table import format_rows
from isbench.storage import store
from isbench.storage.store import Run

NO_FIGURE = "–"  # for a measured figure without a published one


@dataclass(frozen=True)
class Records:
    """The inputs of a table: what the paper prints, and the runs of its rows."""

    table: PaperTable
    candidates: Mapping[Row, Candidate | None]
    runs: Sequence[Run]
    faults: Mapping[Row, str] = field(default_factory=dict)  # why a row's model cannot be loaded
    register: Register = NO_REGISTER


class Cell(NamedTuple):
    """A published figure and ours; either may be missing."""

    table: str
    row: Row
    question: Question
    published: float | None
    ours: Measurement | None
    selection: Selection


def make_cells(records: Records) -> list[Cell]:
    """Return the cells of a table, row by row."""
    questions = records.table.questions
    return [
        _make_cell(row, question, records) for row in records.candidates for question in questions
    ]


def list_cells(row: Row, cells: Iterable[Cell]) -> list[Cell]:
    """Return the cells of a row."""
    return [cell for cell in cells if cell.row == row]


def _make_cell(row: Row, question: Question, records: Records) -> Cell:
    table, candidate = records.table, records.candidates[row]
    selection = (
        Selection(None) if candidate is None else select_run(records.runs, candidate, question)
    )
    ours = None if selection.run is None else measure(selection.run, question)
    return Cell(table.name, row, question, table.published.get((row, question)), ours, selection)


def format_cell(cell: Cell, interval: bool = False) -> str:
    """Return a cell as "published / ours", as the published figure alone, or blank."""
    digits = 0 if cell.question.metric.startswith("nof") else 2
    published = "" if cell.published is None else f"{cell.published:.{digits}f}"
    if cell.ours is None:
        return published
    ours = f"{cell.ours.value:.{digits}f}"
    if interval and cell.ours.low is not None and cell.ours.high is not None:
        ours += f" [{cell.ours.low:.2f}, {cell.ours.high:.2f}]"
    return f"{published or NO_FIGURE} / {ours}"


def describe_provenance(row: Row, found: Sequence[Cell], records: Records) -> Iterator[str]:
    """Yield how a row's figures were measured, and which cells are blank and why."""
    if row in records.faults:
        yield f"{row.name} is left blank: {records.faults[row]}."
    runs = list(
        {
            cell.selection.run.path: cell.selection.run for cell in found if cell.selection.run
        }.values()
    )
    if runs:
        candidate = records.candidates.get(row)
        yield f"{row.name}: {'; '.join(_describe_run(run, candidate) for run in runs)}."
    named = set()
    for cell in found:
        runs = list(cell.selection.colliding)
        digests = ", ".join(store.parse_digest(run.path) for run in runs)
        if runs and digests not in named:
            named.add(digests)
            yield (
                f"{row.name} on {cell.question.dataset} is left blank: runs {digests} fit and "
                f"differ in {', '.join(list_differences(runs))}; move all but one out of "
                "the folder."
            )


def _describe_run(run: Run, candidate: Candidate | None) -> str:
    spec = run.spec
    text = f"{spec.dataset} {len(run.trajectories)} objects, run {store.parse_digest(run.path)}"
    if spec.weights is not None:
        names = {w.digest: w.name for w in candidate.weights} if candidate else {}
        name = names.get(spec.weights)
        text += f", weights {f'{name} ' if name else ''}{spec.weights[:12]}"
    if spec.backend not in (None, "eager-cpu") or spec.precision not in (None, "fp32"):
        text += f", {spec.backend} {spec.precision}"
    return text


HEADS = (
    "table", "system", "backbone", "trained_on", "model", "dataset", "max_clicks", "metric",
    "published", "measured", "low", "high", "objects", "weights", "run",
)  # fmt: skip


def format_cells(found: Sequence[Cell]) -> str:
    """Return cells as csv with a header, one line per cell; missing values are empty."""
    return format_rows(HEADS, map(_make_line, found))


def _make_line(cell: Cell) -> tuple[object, ...]:
    row, (dataset, max_clicks, metric), run = cell.row, cell.question, cell.selection.run
    identity = (cell.table, row.system, row.backbone, row.trained_on, row.name)
    figures: tuple[object, ...] = (None, None, None) if cell.ours is None else cell.ours
    provenance: tuple[object, ...] = (None, None, None)
    if run is not None:
        provenance = (len(run.trajectories), run.spec.weights, store.parse_digest(run.path))
    return (*identity, dataset, max_clicks, metric, cell.published, *figures, *provenance)
