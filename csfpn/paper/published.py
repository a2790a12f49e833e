"""The figures that the CSFPN paper prints, by table."""

from __future__ import annotations

from isbench.papers import Figure, read_figures

FIGURES = read_figures("csfpn.paper", "published.csv")


def list_figures_of(table: str) -> tuple[Figure, ...]:
    """Return the figures of a table of the paper."""
    return tuple(figure for figure in FIGURES if figure.table == table)
