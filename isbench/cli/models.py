"""`isbench models`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial

import click
from rich import box
from rich.table import Table

from isbench.cli.options import complete_models, console
from isbench.errors import IsbenchError
from isbench.evaluation import spec
from isbench.models.registry import load_card, model_names
from isbench.models.weights import weight_names
from isbench.options import format_option
from isbench.types import ModelCard, Scalar

_SIZE = "320x480"


@click.command(short_help="List the installed models or their costs.")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_models)
@click.option("--cost", "costs", is_flag=True, help="Show parameters and multiply-adds instead.")
@click.option(
    "--size",
    metavar="HxW",
    help=f"Image size for --cost, in rows and columns. [default: {_SIZE}]",
)
def models(names: tuple[str, ...], costs: bool, size: str | None) -> None:
    """List the installed models with their options; a model that fails to import shows the error.

    NAME is an installed model or package.module:card; without a NAME, list all.

    With --cost or --size, show the parameters and multiply-adds of every network and its parts.

    \b
    Example:
      isbench models
      isbench models csfpn-mini ritm-mini --cost --size 480x854
    """
    terminal = console()
    cards = _load_cards(names)
    if costs or size is not None:
        table, counted = _make_cost_table(cards, _parse_size(size or _SIZE))
        terminal.print(table)
        terminal.print(f"GMAC at {size or _SIZE}: {counted}")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for head in ("Name", "What", "Options", "Weights", "Source", "Licence"):
        table.add_column(head, overflow="fold")
    for name, card in cards.items():
        if isinstance(card, IsbenchError):
            table.add_row(name, str(card))
            continue
        options = ", ".join(f"{key}={_format(key, value)}" for key, value in card.options.items())
        weights = "" if card.networks is None else ", ".join(weight_names(card))
        table.add_row(name, card.summary, options, weights, card.source, card.licence)
    terminal.print(table)
    terminal.print("custom models: --model package.module:card (see CONTRIBUTING.md)")


def _load_cards(names: Sequence[str]) -> Mapping[str, ModelCard | IsbenchError]:
    """Return the named cards, or those of all installed models, of which some may be broken."""
    if names:
        return {name: load_card(name) for name in names}
    return {name: _try_to_load_card(name) for name in model_names()}


def _try_to_load_card(name: str) -> ModelCard | IsbenchError:
    try:
        return load_card(name)
    except IsbenchError as error:
        return error


def _format(key: str, value: Scalar) -> str:
    """Return an option's default as a user would type it, or what it stands for."""
    if spec.LEFT_TO_DATA.get(key) == value:
        return "the data set's"
    return format_option(value)


def _parse_size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,4})[xX]([1-9]\d{0,4})", text)
    if found is None:
        raise IsbenchError(f"size is {text!r}; wanted rows x columns, such as 320x480")
    return int(found[1]), int(found[2])


def _make_cost_table(
    cards: Mapping[str, ModelCard | IsbenchError], size: tuple[int, int]
) -> tuple[Table, str]:
    """Return the table of costs, and a description of what is counted."""
    from isbench.nn.runtime.cost import (  # imports torch, which is slow: not for --help
        COUNTED,
        PARTS,
        REST,
        count_cost,
    )

    parts = (REST, *PARTS)
    table = Table(box=box.SIMPLE_HEAD)
    for head in ("Name", "Parameters", "GMAC", *(f"{part} %" for part in parts)):
        table.add_column(head, justify="left" if head == "Name" else "right", no_wrap=True)
    for name, card in cards.items():
        if isinstance(card, IsbenchError):
            table.add_row(name, str(card))
            continue
        if card.networks is None:
            continue
        try:
            found = count_cost(partial(card.networks, **card.options), size)
        except IsbenchError as error:  # a network without example inputs
            table.add_row(name, str(error))
            continue
        shares = [
            f"{100 * found.parts[part].macs / found.whole.macs:.1f}" if part in found.parts else ""
            for part in parts
        ]
        macs = f"{found.whole.macs / 1e9:.3f}"
        table.add_row(name, f"{found.whole.parameters:,}", macs, *shares)
    return table, COUNTED
