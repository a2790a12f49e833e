"""A table of text: heads, rows, and how they look on a terminal, in markdown, LaTeX and csv."""

from __future__ import annotations

import csv as comma
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

FORMATS = ("rich", "markdown", "latex", "csv")


@dataclass(frozen=True)
class TextTable:
    """A table as text; '' is a missing figure."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    figures: tuple[bool, ...]  # columns set flush right
    turned: bool = False  # on a terminal a row is a column
    notes: tuple[str, ...] = ()


def format_markdown(sheet: TextTable) -> str:
    """Return the sheet as a markdown table, its notes as paragraphs under it."""
    rule = ["---:" if figure else "---" for figure in sheet.figures]
    rows = ([cell.replace("|", "\\|") for cell in row] for row in sheet.rows)
    lines = [f"| {' | '.join(cells)} |" for cells in (sheet.heads, rule, *rows)]
    return "\n".join([*lines, *(f"\n{note}" for note in sheet.notes)]) + "\n"


def format_latex(sheet: TextTable) -> str:
    """Return the sheet as a LaTeX tabular (package booktabs), its notes as comments."""
    lines = [" & ".join(map(_escaped, cells)) + r" \\" for cells in (sheet.heads, *sheet.rows)]
    kinds = "".join("r" if figure else "l" for figure in sheet.figures)
    body = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
    notes = "".join(f"% {note}\n" for note in sheet.notes)
    return f"\\begin{{tabular}}{{{kinds}}}\n{body}\n\\end{{tabular}}\n{notes}"


def format_csv(sheet: TextTable) -> str:
    """Return the sheet as csv, without its notes."""
    buffer = io.StringIO()
    comma.writer(buffer, lineterminator="\n").writerows((sheet.heads, *sheet.rows))
    return buffer.getvalue()


def make_terminal_tables(sheet: TextTable, width: int | None = None) -> Iterable[Table]:
    """Yield the sheet as tables for a terminal of `width` characters, None for any.

    A sheet that is wider is turned: a row is a figure then and a column a row, as many a table as
    fit.
    """
    heads, rows = sheet.heads, sheet.rows
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    if not sheet.turned and (width is None or sum(widths) + 3 * len(widths) <= width):
        drawn = Table(box=box.SIMPLE_HEAD)
        for head, figure in zip(heads, sheet.figures, strict=True):
            drawn.add_column(head, justify="right" if figure else "left", no_wrap=True)
        for row in rows:
            drawn.add_row(*row)
        yield drawn
        return
    columns = [max(map(len, row)) + 3 for row in rows]
    while rows:
        fit = len(rows)
        while (
            fit > 1 and width is not None and sum(columns[:fit]) + max(map(len, heads)) > width - 4
        ):
            fit -= 1
        yield _turned(heads, rows[:fit])
        rows, columns = rows[fit:], columns[fit:]


def _turned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD)
    drawn.add_column(heads[0], no_wrap=True)
    for row in rows:
        drawn.add_column(row[0], justify="right", overflow="fold")
    for k, head in enumerate(heads[1:], start=1):
        drawn.add_row(head, *(row[k] for row in rows))
    return drawn


_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    sign: f"\\{sign}" for sign in "&%$#_{}"
}


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)
