"""Published figures in tables: by themselves, and as rows below the measured ones of a data set.

A published row is in italics, says that it is published, and has its sources below the table. It is
added only where it answers the same question: whole data set, protocol, metric and number of
clicks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from isbench.metrics import Metric
from isbench.reporting.literature import PublishedFigure, find_contradictions
from isbench.reporting.tables import Rows
from isbench.reporting.text_table import TextTable, format_rows

_HEADS = ("System", "Backbone", "Training", "Data set", "Metric", "Value", "Sources")
DIFFERING = "≠"  # after a value that another source contradicts
_LEGEND = f"{DIFFERING}: another source prints another value for the same figure."


def make_published_table(figures: Sequence[PublishedFigure]) -> TextTable:
    """Return a row per figure and value, with numbers of its sources, which are the notes."""
    sources, contradictions = _Sources(), find_contradictions(figures)
    groups: dict[tuple[object, ...], list[PublishedFigure]] = {}
    for figure in figures:
        groups.setdefault((figure.identity, figure.value), []).append(figure)
    rows = []
    for members in groups.values():
        first = members[0]
        mark = f" {DIFFERING}" if first.identity in contradictions else ""
        rows.append((*first.key, f"{first.printed}{mark}", sources.cite(members)))
    notes = (_LEGEND, *_describe(contradictions, sources)) if contradictions else ()
    kinds = (False, False, False, False, False, True, False)
    return TextTable(_HEADS, tuple(rows), kinds, notes=(*notes, *sources.list_notes()))


def format_published_csv(figures: Sequence[PublishedFigure]) -> str:
    """Return a line per figure and source; `contradicted` says whether another value is printed."""
    facts = _list_facts(figures)
    return format_rows(facts[0], (one.values() for one in facts))


def format_published_json(figures: Sequence[PublishedFigure]) -> str:
    """Return a list of objects, one per figure and source."""
    facts = [
        {**one, "value": figure.value, "contradicted": bool(one["contradicted"])}
        for one, figure in zip(_list_facts(figures), figures, strict=True)
    ]
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


def _list_facts(figures: Sequence[PublishedFigure]) -> list[dict[str, str]]:
    contradictions = find_contradictions(figures)
    return [
        {
            **dict(zip(figure._fields[:5], figure.key, strict=True)),
            "value": figure.printed,
            "source": figure.source,
            "contradicted": "yes" if figure.identity in contradictions else "",
        }
        for figure in figures
    ]


class _Sources:
    """The sources that a table cites, numbered in the order of their first citation."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def cite(self, figures: Iterable[PublishedFigure]) -> str:
        """Return the numbers of the figures' sources, such as "[1, 3]"."""
        numbers = {
            self._numbers.setdefault(figure.source, len(self._numbers) + 1) for figure in figures
        }
        return f"[{', '.join(map(str, sorted(numbers)))}]"

    def list_notes(self) -> tuple[str, ...]:
        """Return a note per source."""
        return tuple(f"[{number}] {source}" for source, number in self._numbers.items())


def _describe(
    contradictions: Mapping[tuple[str, ...], Sequence[PublishedFigure]], sources: _Sources
) -> Iterator[str]:
    """Yield what the sources print, for each figure that they do not agree on."""
    for members in contradictions.values():
        key = members[0].key
        values: dict[float, list[PublishedFigure]] = {}
        for figure in members:
            values.setdefault(figure.value, []).append(figure)
        told = ", ".join(f"{group[0].printed} {sources.cite(group)}" for group in values.values())
        yield f"Sources differ on {', '.join(filter(None, key))}: {told}"


_PRESET = "ritm-2021"  # the protocol that papers follow


class _Question(NamedTuple):
    """The figure of a run that a published one can stand beside."""

    metric: str  # its key
    clicks: int  # of a game


def _find_question(name: str) -> _Question | None:
    """Return the measured figure that a published metric means, None if there is none.

    Published IoU@k are left out: most are printed in percent, and from one of two evaluators.
    """
    found = re.fullmatch(r"(noc|nof)(\d*)@(\d\d)", name)
    if found is None:
        return None
    kind = {"noc": "noc", "nof": "nof_ritm"}[found[1]]  # papers count failures as RITM does
    return _Question(f"{kind}@{found[3]}", int(found[2] or 20))


def add_published(
    table: TextTable,
    figures: Sequence[PublishedFigure],
    runs: Rows,
    metrics: Sequence[Metric],
    imported: Sequence[PublishedFigure] = (),
) -> TextTable:
    """Return a table of runs with published figures as rows of their own, in italics.

    Parameters
    ----------
    table : TextTable
        A view of the runs in any layout, from `tables.make_table`.
    figures : sequence of PublishedFigure
        The figures to add.
    runs : sequence of mappings
        The rows of the table's runs, from `tables.make_rows`.
    metrics : sequence of Metric
        The metrics of the table's columns.
    imported : sequence of PublishedFigure
        Figures from files of other evaluators, to add in the same way.

    Returns
    -------
    TextTable
        With the figures of data sets that were played as a whole, with metrics and numbers of
        clicks that the table has, and notes on their sources; unchanged if there are none.
    """
    by_models = table.heads[0] == "Model"
    fitting = [
        one
        for word, some in (("published", figures), ("imported", imported))
        for one in _find_fitting(some, runs, metrics, word)
        if (one.head if by_models else one.metric) in table.heads
    ]
    if not fitting:
        return table
    sources = _Sources()
    rows = (_add_to_models if by_models else _add_to_runs)(table, fitting, sources)
    words = " and ".join(dict.fromkeys(one.word for one in fitting))
    notes = (
        f"In italics: {words} figures, which were not measured here. Sources in brackets.",
        *_describe(find_contradictions(one.figure for one in fitting), sources),
        *sources.list_notes(),
    )
    italic = tuple(k for k, row in enumerate(rows) if row not in table.rows)
    return replace(table, rows=rows, italic=italic, notes=(*table.notes, *notes))


class _Fitting(NamedTuple):
    """A published figure, the name of the metric it stands beside, and the clicks of a game."""

    metric: str
    clicks: int
    figure: PublishedFigure
    word: str  # what its row says of it

    @property
    def head(self) -> str:
        """Return the head of its column in a table of models."""
        return f"{self.figure.dataset_name} {self.metric}"


def _find_fitting(
    figures: Sequence[PublishedFigure], runs: Rows, metrics: Sequence[Metric], word: str
) -> Iterator[_Fitting]:
    """Yield the figures that answer what the runs of whole data sets answer."""
    played = {
        (row["dataset"], int(row["budget"]))
        for row in runs
        if row["limit"] is None and row["preset"] == _PRESET
    }
    names = {metric.key: metric.name for metric in metrics}
    for figure in figures:
        question = _find_question(figure.metric)
        if question is None or (figure.dataset_name, question.clicks) not in played:
            continue
        if question.metric in names:
            yield _Fitting(names[question.metric], question.clicks, figure, word)


def _add_to_runs(
    table: TextTable, fitting: Sequence[_Fitting], sources: _Sources
) -> tuple[tuple[str, ...], ...]:
    """Return the rows with published ones after the last run on their data set."""
    groups: dict[tuple[object, ...], list[_Fitting]] = {}
    for one in fitting:
        identity = (one.figure.dataset_name, one.clicks, one.word, one.figure.identity[:3])
        groups.setdefault(identity, []).append(one)
    rows: list[tuple[str, ...]] = []
    for k, row in enumerate(table.rows):
        rows.append(row)
        if k + 1 == len(table.rows) or table.rows[k + 1][0] != row[0]:
            for members in (group for key, group in groups.items() if key[0] == row[0]):
                label, budget = _make_label(members, sources), str(members[0].clicks)
                cells = {"Data set": row[0], "Model": label, "Budget": budget}
                cells |= _fill((one.metric, one.figure) for one in members)
                rows.append(tuple(cells.get(head, "") for head in table.heads))
    return tuple(rows)


def _add_to_models(
    table: TextTable, fitting: Sequence[_Fitting], sources: _Sources
) -> tuple[tuple[str, ...], ...]:
    """Return the rows with a published one per system, backbone and training data at the end."""
    groups: dict[tuple[str, ...], list[_Fitting]] = {}
    for one in fitting:
        groups.setdefault((one.word, *one.figure.identity[:3]), []).append(one)
    rows = [*table.rows]
    for members in groups.values():
        cells = {"Model": _make_label(members, sources)}
        cells |= _fill((one.head, one.figure) for one in members)
        rows.append(tuple(cells.get(head, "") for head in table.heads))
    return tuple(rows)


def _make_label(members: Sequence[_Fitting], sources: _Sources) -> str:
    figures = [one.figure for one in members]
    names = ", ".join(filter(None, figures[0].key[:3]))
    return f"{names}, {members[0].word} {sources.cite(figures)}"


def _fill(figures: Iterable[tuple[str, PublishedFigure]]) -> dict[str, str]:
    """Return the printed values by column; values that differ stand side by side."""
    values: dict[str, dict[float, str]] = {}
    for head, figure in figures:
        values.setdefault(head, {}).setdefault(figure.value, figure.printed)
    return {head: " or ".join(printed.values()) for head, printed in values.items()}
