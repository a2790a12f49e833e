"""Published figures of systems, as papers and repositories state them, each with its source.

They are facts to compare with and never measured here. Not here: the figures of a paper whose
tables isbench shows (`papers/published`), and tables (`published_tables`).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from math import isfinite
from typing import NamedTuple

from isbench.errors import IsbenchError, make_unknown_error

# names of data sets here, and what isbench calls them
_DATASETS = {"coco_mval": "coco-mval", "pascalvoc": "voc-val"}


class PublishedFigure(NamedTuple):
    """One figure as its source prints it; '' where the source does not say."""

    system: str
    backbone: str
    training: str  # data that it was trained on
    dataset: str
    metric: str  # such as noc@90, or in words
    printed: str  # the value, with the digits of the source
    source: str

    @property
    def value(self) -> float:
        """Return the value."""
        return float(self.printed)

    @property
    def key(self) -> tuple[str, ...]:
        """Return what the figure is of, as its source spells it: all but the value and source."""
        return self[: len(FILTERS)]

    @property
    def identity(self) -> tuple[str, ...]:
        """Return what the figure is of, however its source spells it."""
        return tuple(map(_fold, self.key))

    @property
    def dataset_name(self) -> str:
        """Return the name of its data set in isbench, or that of the source."""
        return _DATASETS.get(self.dataset, self.dataset)


FILTERS = PublishedFigure._fields[:5]
_COLUMNS = (*FILTERS, "value", "source")


def list_published(
    system: str | Sequence[str] = (),
    backbone: str | Sequence[str] = (),
    training: str | Sequence[str] = (),
    dataset: str | Sequence[str] = (),
    metric: str | Sequence[str] = (),
) -> tuple[PublishedFigure, ...]:
    """Return the published figures that match, in the order of their sources.

    Parameters
    ----------
    system, backbone, training, dataset, metric : str or sequence of str
        Names to keep; an empty sequence: all, "": figures whose source does not say. Case, spaces,
        "-" and "_" do not matter, so "SAM2" also finds what a source spells "SAM 2". Data sets are
        also found by their names in isbench.

    Returns
    -------
    tuple of PublishedFigure
        At least one.

    Raises
    ------
    IsbenchError
        For a name that no figure has, with the nearest one, and for names that no figure has
        together.
    """
    asked = dict(zip(FILTERS, (system, backbone, training, dataset, metric), strict=True))
    every = figures = read_published()
    told: list[str] = []
    for name, value in asked.items():
        wanted = (value,) if isinstance(value, str) else tuple(value)
        if not wanted:
            continue
        names = {one: one for one in (_fold(getattr(figure, name)) for figure in every)}
        if name == "dataset":
            names |= {_fold(alias): _fold(known) for known, alias in _DATASETS.items()}
        for one in wanted:
            if _fold(one) not in names:
                raise make_unknown_error(f"published {name}", one, list_names(name), name)
        kept = {names[_fold(one)] for one in wanted}
        before = figures
        figures = tuple(figure for figure in figures if _fold(getattr(figure, name)) in kept)
        if not figures:
            found = sorted({getattr(figure, name) for figure in before})
            raise IsbenchError(
                f"no published figure of {', '.join(told)} has the {name} {', '.join(wanted)}; "
                f"available: {', '.join(filter(None, found)) or 'none'}",
                setting=name,
            )
        told.append(", ".join(wanted))
    return figures


def list_names(field: str) -> tuple[str, ...]:
    """Return the known names of a filter, such as "system", sorted and without ''."""
    return tuple(sorted({getattr(figure, field) for figure in read_published()} - {""}))


def find_contradictions(
    figures: Iterable[PublishedFigure],
) -> Mapping[tuple[str, ...], tuple[PublishedFigure, ...]]:
    """Return the figures that different sources print with different values, by identity."""
    by_identity: dict[tuple[str, ...], list[PublishedFigure]] = {}
    for figure in figures:
        by_identity.setdefault(figure.identity, []).append(figure)
    return {
        identity: tuple(members)
        for identity, members in by_identity.items()
        if len({figure.value for figure in members}) > 1
    }


@cache
def read_published() -> tuple[PublishedFigure, ...]:
    """Return every published figure."""
    text = (files("isbench.reporting") / "other_systems.csv").read_text(encoding="utf-8")
    return parse_published(text)


def parse_published(text: str) -> tuple[PublishedFigure, ...]:
    """Return the figures of a csv text.

    Raises IsbenchError, with the line, for another header, a row with another number of cells, a
    figure without a system, a metric, a value or a source, a value that is no number, and a figure
    that is there twice.
    """
    head, *rows = csv.reader(text.splitlines(), strict=True)
    if tuple(head) != _COLUMNS:
        raise IsbenchError(f"published figures start with {head}; wanted {list(_COLUMNS)}")
    lines: dict[PublishedFigure, int] = {}
    for line, row in enumerate(rows, start=2):
        if len(row) != len(_COLUMNS):
            raise IsbenchError(
                f"line {line} of the published figures has {len(row)} cells; wanted {len(_COLUMNS)}"
            )
        figure = PublishedFigure(*row)
        _check(figure, line)
        if figure in lines:
            raise IsbenchError(
                f"lines {lines[figure]} and {line} of the published figures are the same; wanted "
                "each once"
            )
        lines[figure] = line
    return tuple(lines)


def _check(figure: PublishedFigure, line: int) -> None:
    for name in ("system", "metric", "printed", "source"):
        if not getattr(figure, name):
            raise IsbenchError(f"line {line} of the published figures has no {name}")
    if any(cell != cell.strip() or not cell.isprintable() for cell in figure):
        raise IsbenchError(f"line {line} of the published figures has spaces around a cell")
    try:
        if isfinite(figure.value):
            return
    except ValueError:
        pass
    raise IsbenchError(
        f"line {line} of the published figures has the value {figure.printed!r}; wanted a number"
    )


def _fold(name: str) -> str:
    """Return a name as it is compared: sources spell "SAM 2" and "SAM2", "vit_b" and "ViT-B"."""
    return re.sub(r"[\s_-]", "", name.casefold())
