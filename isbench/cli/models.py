"""`isbench models`."""

from __future__ import annotations

import click
from rich import box
from rich.table import Table

from isbench.cli.options import console
from isbench.errors import IsbenchError
from isbench.registry import load_model, model_names


@click.command(short_help="Show what models there are.")
def models() -> None:
    """Show the installed models with their options; one that fails to import says why.

    \b
    Example:
      isbench models
    """
    table = Table(box=box.SIMPLE_HEAD)
    for head in ("Name", "What", "Options", "Source", "Licence"):
        table.add_column(head, overflow="fold")
    for name in model_names():
        try:
            card = load_model(name)
        except IsbenchError as error:
            table.add_row(name, str(error))
            continue
        options = ", ".join(f"{key}={value}" for key, value in card.options.items())
        table.add_row(name, card.summary, options, card.source, card.licence)
    terminal = console()
    terminal.print(table)
    terminal.print("and anyone's: --model package.module:card (see CONTRIBUTING.md)")
