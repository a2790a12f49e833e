"""`isbench clickers`."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich import box
from rich.table import Table

from isbench.cli.console import make_console
from isbench.errors import IsbenchError
from isbench.evaluation.clickers.registry import list_clicker_names, load_clicker
from isbench.options import format_option

_HEADS = ("Name", "What", "Parameters", "Stochastic", "Version", "Source")
_WIDE = 160  # columns of a terminal that shows them side by side


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
    rows = [_describe(name) for name in list_clicker_names()]
    narrow = terminal.is_terminal and terminal.width < _WIDE
    terminal.print(_make_list(rows) if narrow else _make_table(rows))


def _describe(name: str) -> tuple[str, ...]:
    """Return the cells of a clicker by `_HEADS`, or its name and the error of its package."""
    try:
        card = load_clicker(name)
    except IsbenchError as error:
        return name, str(error)
    parameters = ", ".join(
        f"{key}={format_option(value)}" for key, value in card.parameters.items()
    )
    chance = "yes" if card.stochastic else "no"
    return name, card.summary, parameters, chance, card.version, card.source


def _make_table(rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for head in _HEADS:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _make_list(rows: Sequence[tuple[str, ...]]) -> Table:
    """Return the rows with all but the name in one column, which a narrow terminal wraps."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, what, *facts in rows:
        table.add_row(name, what)
        named = zip(_HEADS[2:], facts, strict=False)
        table.add_row("", "; ".join(f"{head.lower()}: {fact}" for head, fact in named if fact))
    return table
