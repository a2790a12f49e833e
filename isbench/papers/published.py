"""The published figures of the paper, as values. Not here: what was measured."""

from __future__ import annotations

import csv
from importlib.resources import files
from typing import NamedTuple


class Figure(NamedTuple):
    """One published figure, and its position in the paper."""

    table: int
    system: str
    model: str
    backbone: str
    trained_on: str
    weights: str  # isbench's name of weights trained this way
    dataset: str
    max_clicks: int | None
    metric: str
    value: float | None  # None where the paper prints a cross
    note: str


def parse_figures(text: str) -> tuple[Figure, ...]:
    """Return the published figures of a csv text with the columns of `published/csfpn.csv`."""
    return tuple(
        Figure(
            int(row["table"]),
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


def read_published() -> tuple[Figure, ...]:
    """Return the figures published in the CSFPN paper."""
    return parse_figures((files("isbench.papers") / "published" / "csfpn.csv").read_text())
