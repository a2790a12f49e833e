"""`isbench clickers`."""

from __future__ import annotations

import click
from rich import box
from rich.table import Table

from isbench.cli.console import make_console
from isbench.errors import IsbenchError
from isbench.evaluation.clickers.registry import list_clicker_names, load_clicker
from isbench.options import format_option


@click.command(short_help="List the installed clickers.")
def clickers() -> None:
    """List the installed clickers (simulated users) with their parameters.

    A clicker that fails to import shows the error. Parameters follow the name in order or by name,
    as in jitter:2 or jitter:sigma=2. Stochastic ones play other games with another seed.

    \b
    Example:
      isbench clickers
      isbench run --model nearest --dataset sample --clicker largest
    """
    terminal = make_console()
    table = Table(box=box.SIMPLE_HEAD)
    for head in ("Name", "What", "Parameters", "Stochastic", "Version", "Source"):
        table.add_column(head, overflow="fold")
    for name in list_clicker_names():
        try:
            card = load_clicker(name)
        except IsbenchError as error:
            table.add_row(name, str(error))
            continue
        parameters = (f"{key}={format_option(value)}" for key, value in card.parameters.items())
        chance = "yes" if card.stochastic else "no"
        table.add_row(name, card.summary, ", ".join(parameters), chance, card.version, card.source)
    terminal.print(table)
