"""A paper's table as text: a column per question, with the paper's figure and ours in each cell."""

from __future__ import annotations

from collections.abc import Sequence

from isbench.papers.cells import Cell, Records, describe_provenance, format_cell, list_cells
from isbench.papers.rows import Question
from isbench.reporting.text_table import TextTable

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
    "authors' weights only."
)
_NO_SYSTEM = " Rows without a system are this project's."


def make_text_table(records: Records, cells: Sequence[Cell]) -> TextTable:
    """Return a table as text, with notes that say how each row was measured."""
    table = records.table
    rows = []
    provenance: list[str] = []
    for row, candidate in records.candidates.items():
        row_cells = list_cells(row, cells)
        name = "" if candidate is None and row not in records.faults else row.name
        shown = (format_cell(cell, table.intervals) for cell in row_cells)
        rows.append((row.system, row.backbone, row.trained_on, name, *shown))
        provenance += describe_provenance(row, row_cells, records)
    columns = table.heads or tuple(map(make_head, table.questions))
    heads = ("System", "Backbone", "Trained on", "Model", *columns)
    counting = _COUNTING + ("" if all(row.system for row in records.candidates) else _NO_SYSTEM)
    notes = (_READING, *table.notes, counting, *provenance)
    return TextTable(heads, tuple(rows), (*[False] * 4, *[True] * len(columns)), notes=notes)


def make_head(question: Question) -> str:
    """Return the head of a question's column: data set and metric."""
    metric = question.metric.replace("noc", "NoC").replace("nof", "NoF")
    return f"{name_dataset(question.dataset)} {metric}"


def name_dataset(name: str) -> str:
    """Return a data set's name as papers print it."""
    return _NAMES.get(name, name)
