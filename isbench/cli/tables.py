"""Text tables on standard output, in every format."""

from __future__ import annotations

import click

from isbench.cli.console import make_console
from isbench.reporting.text_table import (
    TextTable,
    escape_controls,
    format_csv,
    format_latex,
    format_markdown,
    make_terminal_tables,
)

_FORMATS = {"markdown": format_markdown, "latex": format_latex, "csv": format_csv}


def print_table(table: TextTable, form: str = "rich") -> None:
    """Print a table in a format of `text_table.FORMATS`, with its notes except in csv."""
    if form != "rich":
        click.echo(_FORMATS[form](table), nl=False)
        return
    terminal = make_console()
    for part in make_terminal_tables(table, terminal.width if terminal.is_terminal else None):
        terminal.print(part)
    for note in table.notes:
        terminal.print(escape_controls(note), soft_wrap=not terminal.is_terminal)
