"""The published figures of a paper, as values. Not here: what was measured."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import NamedTuple

from isbench.papers.rows import Question, Row


class Figure(NamedTuple):
    """One published figure, and its position in the paper."""

    table: str
    system: str
    model: str
    backbone: str
    trained_on: str
    weights: str  # isbench's name of weights trained this way
    dataset: str
    max_clicks: int | None
    metric: str
    value: float | None  # None where the paper prints none, such as a cross
    note: str


def parse_figures(text: str) -> tuple[Figure, ...]:
    """Return the published figures of a csv text with a header: the names of a Figure's fields."""
    return tuple(
        Figure(
            row["table"],
            row["system"],
            row["model"],
            row["backbone"],
            row["trained_on"],
            row["weights"],
            row["dataset"],
            int(row["max_clicks"]) if row["max_clicks"] else None,
            row["metric"],
            float(row["value"]) if row["value"] else None,
            row["note"],
        )
        for row in csv.DictReader(text.splitlines())
    )


def read_figures(package: str, name: str) -> tuple[Figure, ...]:
    """Return the published figures of a csv file in a package."""
    return parse_figures((files(package) / name).read_text(encoding="utf-8"))


def list_rows(figures: Iterable[Figure]) -> tuple[Row, ...]:
    """Return the rows of a table's figures, in their order."""
    rows = (Row(f.system, f.backbone, f.trained_on, f.model, weights=f.weights) for f in figures)
    return tuple(dict.fromkeys(rows))


def find_figures(
    rows: Iterable[Row], questions: Iterable[Question], figures: Iterable[Figure]
) -> Mapping[tuple[Row, Question], float]:
    """Return what the paper prints for the rows and questions of a table, from its figures.

    A row has the figures of its system, backbone and training data; none without a system.
    """
    printed = {
        ((f.system, f.backbone, f.trained_on), Question(f.dataset, f.max_clicks or 0, f.metric)): (
            f.value
        )
        for f in figures
    }
    asked, found = tuple(questions), {}
    for row in rows:
        for question in asked:
            value = printed.get(((row.system, row.backbone, row.trained_on), question))
            if row.system and value is not None:
                found[row, question] = value
    return found
