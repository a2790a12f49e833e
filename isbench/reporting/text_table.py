"""Text tables, and their formats: terminal, markdown, LaTeX and csv.

Names come from run files, which may come from anybody: in every format they are text, and neither
markup, nor a formula, nor a command to the terminal.
"""

from __future__ import annotations

import csv as comma
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeVar

from rich import box
from rich.table import Table

T = TypeVar("T")
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")  # spreadsheets skip spaces
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")
_TRANSPOSED_WIDTH = 120  # in a file or a pipe: one column per row of any number of them
_TEXT_WIDTH = 20  # least characters of a column of texts that are wrapped
FORMATS = ("rich", "markdown", "latex", "csv")


@dataclass(frozen=True)
class TextTable:
    """A table of text; '' is a missing figure."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    figures: tuple[bool, ...]  # which columns are aligned right
    transposed: bool = False  # transposed on a terminal: a row becomes a column
    notes: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()  # heads that go above a narrow table where rows share a value
    groups: tuple[str, ...] = ()  # the group of each column, with which its head starts, or ""
    italic: tuple[int, ...] = ()  # the rows in italics: figures that were not measured

    @property
    def italic_rows(self) -> frozenset[tuple[str, ...]]:
        """Return the rows in italics."""
        return frozenset(self.rows[k] for k in self.italic)


def format_markdown(table: TextTable) -> str:
    """Return a markdown table with the notes as paragraphs below it."""
    rule = ["---:" if figure else "---" for figure in table.figures]
    heads, *rows = ([_escape_markdown(cell) for cell in row] for row in (table.heads, *table.rows))
    for k in table.italic:
        rows[k] = [f"*{cell}*" if cell else "" for cell in rows[k]]
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]
    notes = (f"\n{escape_html(note)}" for note in table.notes)
    return "\n".join([*lines, *notes]) + "\n"


def format_latex(table: TextTable) -> str:
    """Return a LaTeX tabular (package booktabs) with the notes as comments.

    Groups of columns become a first line of heads that span them.
    """
    heads, spans = table.heads, []
    if any(table.groups):
        pairs = zip(table.heads, table.groups, strict=True)
        heads = tuple(head.removeprefix(group).strip() for head, group in pairs)
        spans = list(_span_groups(table.groups))
    italic = [k in table.italic for k in range(len(table.rows))]
    lines = [
        _format_latex_row(cells, slanted)
        for cells, slanted in zip((heads, *table.rows), (False, *italic), strict=True)
    ]
    kinds = "".join("r" if figure else "l" for figure in table.figures)
    body = "\n".join([r"\toprule", *spans, lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
    notes = "".join(f"% {_join_lines(note)}\n" for note in table.notes)
    return f"\\begin{{tabular}}{{{kinds}}}\n{body}\n\\end{{tabular}}\n{notes}"


def format_csv(table: TextTable) -> str:
    """Return the table as csv, without its notes."""
    return format_rows(table.heads, table.rows)


def format_rows(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return lines of csv with a header; None is an empty cell."""
    buffer = io.StringIO()
    cells = ([escape_csv(cell) for cell in row] for row in (heads, *rows))
    comma.writer(buffer, lineterminator="\n").writerows(cells)
    return buffer.getvalue()


def _span_groups(groups: Sequence[str]) -> Iterator[str]:
    """Yield the line of LaTeX heads that span columns, and the rules below them."""
    cells, rules, column = [], [], 1
    for group, members in groupby(groups):
        count = len(list(members))
        cells.append(rf"\multicolumn{{{count}}}{{c}}{{{_escape_latex(group)}}}" if group else "")
        if group:
            rules.append(rf"\cmidrule(lr){{{column}-{column + count - 1}}}")
        column += count
    yield " & ".join(cells) + r" \\"
    yield " ".join(rules)


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

    A table that is too wide is divided by its first column and wrapped: names between words, an
    interval below its figure. One without figures, such as a checklist, stays whole if its columns
    are wide enough. If that is still too wide, or if the table says so, it is transposed, so that a
    row of it becomes a column, and split into as many tables as needed, each of at most `width` or,
    if that is None, of about 120 characters.
    """
    table = _escape_table(table)
    widths = [max(map(len, column)) for column in zip(table.heads, *table.rows, strict=True)]
    if not table.rows:
        return
    if not table.transposed:
        if width is None or sum(widths) + 3 * len(widths) + 1 <= width:
            yield _make_plain(table)
            return
        if not any(table.figures) and width >= _TEXT_WIDTH * len(widths):
            yield _make_wrapped(table)
            return
        if narrow := _make_narrow(table, width):
            yield from narrow
            return
    yield from _make_transposed(table, width or _TRANSPOSED_WIDTH)


def _escape_table(table: TextTable) -> TextTable:
    """Return a table without control characters in its cells."""
    heads, *rows = (tuple(map(escape_controls, row)) for row in (table.heads, *table.rows))
    conditions = tuple(map(escape_controls, table.conditions))
    return replace(table, heads=heads, rows=tuple(rows), conditions=conditions)


def _make_plain(table: TextTable) -> Table:
    terminal_table = Table(box=box.SIMPLE_HEAD)
    for head, figure in zip(table.heads, table.figures, strict=True):
        terminal_table.add_column(head, justify="right" if figure else "left", no_wrap=True)
    for row in table.rows:
        terminal_table.add_row(*row, style=_choose_style(table, row))
    return terminal_table


def _make_wrapped(table: TextTable) -> Table:
    """Return a table of texts, which the terminal wraps in their cells."""
    terminal_table = Table(box=box.SIMPLE_HEAD)
    for head in table.heads:
        terminal_table.add_column(head, overflow="fold")
    for row in table.rows:
        terminal_table.add_row(*row, style=_choose_style(table, row))
    return terminal_table


def _choose_style(table: TextTable, row: tuple[str, ...]) -> str:
    return "italic" if row in table.italic_rows else ""


def _make_narrow(table: TextTable, width: int) -> list[Table] | None:
    """Return a table per value of the first column, its texts in one column; None if too wide."""
    texts = [k for k, figure in enumerate(table.figures) if not figure and k > 0]
    if table.figures[0] or not texts:  # names in the first column only
        parts = {"": table.rows}
        texts = [k for k, figure in enumerate(table.figures) if not figure]
    else:
        parts = {}
        for row in table.rows:
            parts[row[0]] = (*parts.get(row[0], ()), row)
    tables = []
    for name, rows in parts.items():
        shared = [
            k
            for k, head in enumerate(table.heads)
            if head in table.conditions and len({row[k] for row in rows}) == 1
        ]
        figures = [k for k, figure in enumerate(table.figures) if figure and k not in shared]
        made = _make_part(table, rows, texts, figures, width)
        if made is None:
            return None
        facts = [f"{table.heads[k].lower()} {rows[0][k]}" for k in shared]
        made.title = ", ".join(filter(None, (name, *facts)))
        made.title_justify = "left"
        tables.append(made)
    return tables


def _make_part(
    table: TextTable,
    rows: Sequence[tuple[str, ...]],
    texts: Sequence[int],
    figures: Sequence[int],
    width: int,
) -> Table | None:
    """Return a narrow table of rows; None if it is wider than `width`."""
    made = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    cells = {k: [row[k].replace(" [", "\n[") for row in rows] for k in figures}
    least = {
        k: max(len(part) for text in (*cells[k], table.heads[k]) for part in _split(text))
        for k in figures
    }
    space = width - sum(size + 2 for size in least.values()) - 4
    words = max(len(word) for row in rows for k in texts for word in row[k].split() or [""])
    if space < min(max(words, 12), 24):
        return None
    head = "\n".join(table.heads[k] for k in texts)
    made.add_column(head, justify="left", overflow="fold", max_width=space)
    for k in figures:
        head = (
            "\n".join(table.heads[k].split()) if len(table.heads[k]) > least[k] else table.heads[k]
        )
        made.add_column(head, justify="right", no_wrap=True, min_width=least[k])
    for number, row in enumerate(rows):
        name = "\n".join(row[k] for k in texts if row[k])
        made.add_row(name, *(cells[k][number] for k in figures), style=_choose_style(table, row))
    return made


def _split(text: str) -> list[str]:
    """Return the parts of a cell that are not broken: a figure, and its interval."""
    return text.split("\n") if "\n" in text or "[" in text else text.split()


def _make_transposed(table: TextTable, width: int) -> Iterator[Table]:
    heads, rows = table.heads, table.rows
    columns = [
        max(max(map(len, row[1].split()), default=1), *map(len, (row[0], *row[2:]))) + 3
        for row in rows
    ]
    while rows:
        fit = len(rows)
        while fit > 1 and sum(columns[:fit]) + max(map(len, heads)) > width - 4:
            fit -= 1
        yield _transpose(table, rows[:fit])
        rows, columns = rows[fit:], columns[fit:]


def _transpose(table: TextTable, rows: Sequence[tuple[str, ...]]) -> Table:
    transposed = Table(box=box.SIMPLE_HEAD)
    transposed.add_column(table.heads[0], no_wrap=True)
    for row in rows:
        style = _choose_style(table, row)
        transposed.add_column(row[0], justify="right", overflow="fold", style=style)
    for k, head in enumerate(table.heads[1:], start=1):
        transposed.add_row(head, *(row[k] for row in rows))
    return transposed


_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"
} | {sign: f"\\{sign}" for sign in "&%$#_{}"}  # fmt: skip


def _format_latex_row(cells: Sequence[str], italic: bool = False) -> str:
    texts = map(_escape_latex, cells)
    row = " & ".join(rf"\textit{{{one}}}" if italic and one else one for one in texts) + r" \\"
    return (
        f"{{}}{row}" if row.lstrip().startswith(("[", "*")) else row
    )  # arguments of the line break before it


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in _join_lines(text))


def _escape_markdown(text: str) -> str:
    """Return the text of a cell: no HTML, no link, no end of the cell."""
    plain = escape_html(text).replace("\\", "&#92;")
    return plain.replace("|", "\\|").replace("](", "]\\(")


def escape_html(text: str) -> str:
    """Return a text on one line that is neither HTML nor markup of it."""
    return _join_lines(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _join_lines(text: str) -> str:
    """Return a text without line breaks and other control characters."""
    return "".join(one if one.isprintable() else " " for one in text)
