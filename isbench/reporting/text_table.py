"""Text tables, and their formats: terminal, markdown, LaTeX and csv."""

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
    """A table of text; '' is a missing figure."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    figures: tuple[bool, ...]  # which columns are aligned right
    transposed: bool = False  # transposed on a terminal: a row becomes a column
    notes: tuple[str, ...] = ()


def format_markdown(table: TextTable) -> str:
    """Return a markdown table with the notes as paragraphs below it."""
    rule = ["---:" if figure else "---" for figure in table.figures]
    rows = ([cell.replace("|", "\\|") for cell in row] for row in table.rows)
    lines = [f"| {' | '.join(cells)} |" for cells in (table.heads, rule, *rows)]
    return "\n".join([*lines, *(f"\n{note}" for note in table.notes)]) + "\n"


def format_latex(table: TextTable) -> str:
    """Return a LaTeX tabular (package booktabs) with the notes as comments."""
    lines = [" & ".join(map(_escape_latex, cells)) + r" \\" for cells in (table.heads, *table.rows)]
    kinds = "".join("r" if figure else "l" for figure in table.figures)
    body = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
    notes = "".join(f"% {note}\n" for note in table.notes)
    return f"\\begin{{tabular}}{{{kinds}}}\n{body}\n\\end{{tabular}}\n{notes}"


def format_csv(table: TextTable) -> str:
    """Return the table as csv, without its notes."""
    buffer = io.StringIO()
    comma.writer(buffer, lineterminator="\n").writerows((table.heads, *table.rows))
    return buffer.getvalue()


def make_terminal_tables(table: TextTable, width: int | None = None) -> Iterable[Table]:
    """Yield tables for a terminal of `width` characters; None: any width.

    A table that is too wide is transposed, so that a row of it becomes a column, and split into as
    many tables as needed.
    """
    heads, rows = table.heads, table.rows
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    if not table.transposed and (width is None or sum(widths) + 3 * len(widths) <= width):
        terminal_table = Table(box=box.SIMPLE_HEAD)
        for head, figure in zip(heads, table.figures, strict=True):
            terminal_table.add_column(head, justify="right" if figure else "left", no_wrap=True)
        for row in rows:
            terminal_table.add_row(*row)
        yield terminal_table
        return
    columns = [max(map(len, row)) + 3 for row in rows]
    while rows:
        fit = len(rows)
        while (
            fit > 1 and width is not None and sum(columns[:fit]) + max(map(len, heads)) > width - 4
        ):
            fit -= 1
        yield _transpose(heads, rows[:fit])
        rows, columns = rows[fit:], columns[fit:]


def _transpose(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    transposed = Table(box=box.SIMPLE_HEAD)
    transposed.add_column(heads[0], no_wrap=True)
    for row in rows:
        transposed.add_column(row[0], justify="right", overflow="fold")
    for k, head in enumerate(heads[1:], start=1):
        transposed.add_row(head, *(row[k] for row in rows))
    return transposed


_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    sign: f"\\{sign}" for sign in "&%$#_{}"
}


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)
