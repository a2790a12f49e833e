"""Text tables, and their formats: terminal, markdown, LaTeX and csv.

Names come from run files, which may come from anybody: in every format they are text, and neither
markup, nor a formula, nor a command to the terminal.
"""

from __future__ import annotations

import csv as comma
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich import box
from rich.table import Table

T = TypeVar("T")
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")  # spreadsheets skip spaces
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")
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
    heads, *rows = ([_escape_markdown(cell) for cell in row] for row in (table.heads, *table.rows))
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]
    notes = (f"\n{_escape_html(note)}" for note in table.notes)
    return "\n".join([*lines, *notes]) + "\n"


def format_latex(table: TextTable) -> str:
    """Return a LaTeX tabular (package booktabs) with the notes as comments."""
    lines = [_format_latex_row(cells) for cells in (table.heads, *table.rows)]
    kinds = "".join("r" if figure else "l" for figure in table.figures)
    body = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
    notes = "".join(f"% {_to_line(note)}\n" for note in table.notes)
    return f"\\begin{{tabular}}{{{kinds}}}\n{body}\n\\end{{tabular}}\n{notes}"


def format_csv(table: TextTable) -> str:
    """Return the table as csv, without its notes."""
    buffer = io.StringIO()
    rows = ([escape_csv(cell) for cell in row] for row in (table.heads, *table.rows))
    comma.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def escape_csv(cell: T) -> T | str:
    """Return a cell of a csv file; a text that spreadsheets would run as a formula gets a quote."""
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r", "\n")  # the writer does not quote \r, which ends a row elsewhere
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def escape_controls(text: str) -> str:
    """Return a text that cannot command a terminal: control characters become escapes."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def make_terminal_tables(table: TextTable, width: int | None = None) -> Iterable[Table]:
    """Yield tables for a terminal of `width` characters; None: any width.

    A table that is too wide is transposed, so that a row of it becomes a column, and split into as
    many tables as needed.
    """
    heads, *rows = (tuple(map(escape_controls, row)) for row in (table.heads, *table.rows))
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
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"
} | {sign: f"\\{sign}" for sign in "&%$#_{}"}  # fmt: skip


def _format_latex_row(cells: Sequence[str]) -> str:
    row = " & ".join(map(_escape_latex, cells)) + r" \\"
    return (
        f"{{}}{row}" if row.lstrip().startswith(("[", "*")) else row
    )  # arguments of the line break before it


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in _to_line(text))


def _escape_markdown(text: str) -> str:
    """Return the text of a cell: no HTML, no link, no end of the cell."""
    plain = _escape_html(text).replace("\\", "&#92;")
    return plain.replace("|", "\\|").replace("](", "]\\(")


def _escape_html(text: str) -> str:
    return _to_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _to_line(text: str) -> str:
    """Return a text without line breaks and other control characters."""
    return "".join(one if one.isprintable() else " " for one in text)
