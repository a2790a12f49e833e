"""Tables 1 to 3 of the paper: NoC and NoF, with the paper's figure and ours in each cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from isbench import metrics
from isbench.papers.cells import Cell, Records, describe_provenance, format_cell, make_cells
from isbench.papers.rows import QUESTIONS, STEPS, Question
from isbench.reporting.tables import collect_games
from isbench.reporting.text_table import TextTable
from isbench.storage.store import Run

_NAMES = {
    "grabcut": "GrabCut",
    "berkeley": "Berkeley",
    "coco-mval-seen": "COCO_MVal seen",
    "coco-mval-unseen": "COCO_MVal unseen",
    "coco-mval": "COCO_MVal",
    "davis": "DAVIS",
    "sbd": "SBD",
}
_READING = (
    "Each cell shows the paper's figure and ours: paper / measured. Without a measured figure it "
    "shows the paper's alone; a dash means that the paper prints none. A cell with neither is "
    "blank."
)
_COUNTING = (
    "Measured figures are on whole data sets by the rules of ritm-2021, with the options of the "
    "model's card and exactly the weights that a row names: a published row is measured with its "
    "authors' weights only. Rows without a system are this project's."
)
_NOTES = {
    1: (
        "NoC_20 at the IoU of each column.",
        "COCO_MVal without seen or unseen: the paper prints one figure across both columns.",
    ),
    2: (
        "DAVIS. NoF counts the objects that needed all clicks, including those solved at the last "
        "one, as RITM's evaluator does (docs/protocol.md).",
    ),
    3: (
        "NoC_20@90 [95 % interval over images]. The paper's table names neither metric nor "
        "backbone; its text says NoC@90. Rows without a system are this project's small networks "
        "in the paper's order: the base segmenter, with CDNet's FDM, +SGM, +HSGM, +G2L. They test "
        "the order, not the figures, and use only the weights named ablation-*, which were trained "
        "with the same budget from the same initial weights.",
    ),
}


def make_table(number: int, records: Records) -> tuple[TextTable, list[Cell]]:
    """Return Table 1, 2 or 3 and its cells; `records` hold the table's rows."""
    questions, cells, rows = QUESTIONS[number], [], []
    provenance: list[str] = []
    for row in records.candidates:
        row_cells = make_cells(number, row, questions, records)
        name = "" if records.candidates[row] is None else row.name
        shown = (format_cell(cell, interval=number == 3) for cell in row_cells)
        rows.append((row.system, row.backbone, row.trained_on, name, *shown))
        provenance += describe_provenance(row, row_cells, records)
        cells += row_cells
    if number == 3:
        provenance += _steps(cells)
    heads = ("System", "Backbone", "Trained on", "Model", *(_head(number, q) for q in questions))
    notes = (_READING, *_NOTES[number], _COUNTING, *provenance)
    figures = (*[False] * 4, *[True] * len(questions))
    return TextTable(heads, tuple(rows), figures, notes=notes), cells


def _head(number: int, question: Question) -> str:
    metric = question.metric.replace("noc", "NoC").replace("nof", "NoF")
    if number == 2:
        return metric.replace("@", f"_{question.max_clicks}@")
    return f"{_NAMES[question.dataset]} {metric}"


def _steps(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield the effect of each part of the ablation, paired over the objects of a data set."""
    for question in QUESTIONS[3]:
        here = {cell.row: cell for cell in cells if cell.question == question}
        for before, after in STEPS:
            if before in here and after in here:
                yield from _step(here[before], here[after])


def _step(before: Cell, after: Cell) -> Iterator[str]:
    a, b = before.found.run, after.found.run
    if a is None or b is None or a.spec.fingerprint != b.spec.fingerprint:
        return
    noc_a, noc_b = (_noc(run, before.question) for run in (a, b))
    images = [metrics.image_of(key) for key in sorted(noc_a)]
    first, second = ([noc[key] for key in sorted(noc_a)] for noc in (noc_a, noc_b))
    d = metrics.compare_paired(_floats(second), _floats(first), images)
    interval = f" [{d.low:+.2f}, {d.high:+.2f}]" if d.low == d.low else ""
    yield (
        f"{_NAMES[before.question.dataset]}: {after.row.name} minus {before.row.name} is "
        f"{d.mean:+.2f}{interval} clicks, paired, p {d.p_value:.4f}."
    )


def _noc(run: Run, question: Question) -> dict[str, int]:
    games = collect_games(run, question.max_clicks)
    clicks = metrics.compute_values(metrics.find_metric(question.metric), games)
    assert clicks is not None  # a run that does not play to the target does not fit the question
    return {game.key: int(count) for game, count in zip(run.trajectories, clicks, strict=True)}


def _floats(values: Sequence[int]) -> metrics.Floats:
    return np.asarray(values, dtype=np.float64)
