"""`isbench models`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial

import click
from rich import box
from rich.console import Console
from rich.table import Table

from isbench.cli.completion import complete_models
from isbench.cli.console import make_console
from isbench.cli.model_details import print_details
from isbench.cli.usage import refuse_lists
from isbench.errors import IsbenchError
from isbench.models.registry import (
    check_libraries,
    describe_missing_library,
    list_model_names,
    load_card,
)
from isbench.models.weights import list_weight_names
from isbench.types import ModelCard

_SIZE = "320x480"


@click.command(short_help="List the installed models or their costs.")
@click.argument(
    "names",
    nargs=-1,
    metavar="[NAME]...",
    callback=refuse_lists,
    shell_complete=complete_models,
)
@click.option("--cost", "costs", is_flag=True, help="Show parameters and multiply-adds instead.")
@click.option(
    "--size",
    metavar="HxW",
    help=f"Image size for --cost, in rows and columns. [default: {_SIZE}]",
)
def models(names: tuple[str, ...], costs: bool, size: str | None) -> None:
    """List the installed models; a model that fails to import shows the error.

    NAME is an installed model or package.module:card. With a NAME, show the paper, each option with
    its default and what it does, each file of weights with its size and where its authors keep it,
    and the licence.

    With --cost or --size, show the parameters and multiply-adds of every network and its parts.

    \b
    Example:
      isbench models
      isbench models ritm-hrnet18
      isbench models csfpn-lite ritm-lite --cost --size 480x854
    """
    terminal = make_console()
    cards, faults = _load_cards(names)
    if costs or size is not None:
        with_network = {name: card for name, card in cards.items() if card.networks is not None}
        if not with_network:
            raise IsbenchError(f"no network to count in {', '.join(cards)}; name a model with one")
        table, counted, failed = _make_cost_table(with_network, _parse_size(size or _SIZE))
        terminal.print(table)
        terminal.print(f"GMAC at {size or _SIZE}: {counted}")
        _print_faults(terminal, {**faults, **failed})
        return
    if names:
        for card in cards.values():
            print_details(terminal, card)
        return
    _print_list(terminal, cards)
    _print_bundled_terms(terminal, cards)
    _print_faults(terminal, faults)
    for name, card in cards.items():
        if missing := describe_missing_library(card):
            terminal.print(f"{name} {missing}", soft_wrap=True)
    terminal.print("one model in detail: isbench models NAME")
    terminal.print("a model of your own: --model package.module:card")


def _print_list(terminal: Console, cards: Mapping[str, ModelCard]) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("Name", no_wrap=True)
    for head, width in (("What", 26), ("Weights", None), ("Licence", None)):
        table.add_column(head, overflow="fold", min_width=width)
    for name, card in cards.items():
        weights = "" if card.networks is None else ", ".join(list_weight_names(card))
        table.add_row(name, card.summary, weights, card.licence)
    terminal.print(table)


def _print_bundled_terms(terminal: Console, cards: Mapping[str, ModelCard]) -> None:
    """Print the licence of weights that come with models; the list has that of the code."""
    models: dict[str, list[str]] = {}
    for name, card in cards.items():
        if card.bundled and card.bundled_terms:
            models.setdefault(card.bundled_terms, []).append(name)
    for terms, names in models.items():
        terminal.print(f"weights that come with {', '.join(names)}: {terms}", soft_wrap=True)


def _load_cards(names: Sequence[str]) -> tuple[Mapping[str, ModelCard], Mapping[str, str]]:
    """Return the named cards, or those of all installed models, and the errors of broken ones.

    Raises the error of a model that is named.
    """
    if names:
        return {name: load_card(name) for name in names}, {}
    cards: dict[str, ModelCard] = {}
    faults: dict[str, str] = {}
    for name in list_model_names():
        try:
            cards[name] = load_card(name)
        except IsbenchError as error:
            faults[name] = str(error)
    return cards, faults


def _print_faults(terminal: Console, faults: Mapping[str, str]) -> None:
    """Print why models are not in the table."""
    for name, fault in faults.items():
        terminal.print(f"{name} is left out: {fault}", soft_wrap=True)


def _parse_size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,4})[xX]([1-9]\d{0,4})", text)
    if found is None:
        raise IsbenchError(
            f"size is {text!r}; wanted rows x columns, such as 320x480", setting="size"
        )
    return int(found[1]), int(found[2])


def _make_cost_table(
    cards: Mapping[str, ModelCard], size: tuple[int, int]
) -> tuple[Table, str, Mapping[str, str]]:
    """Return the table of costs, what is counted, and why models are left out of it."""
    from isbench.nn.runtime.cost import (  # imports torch, which is slow: not for --help
        COUNTED,
        PARTS,
        REST,
        count_cost,
    )

    parts, failed = (REST, *PARTS), dict[str, str]()
    table = Table(box=box.SIMPLE_HEAD)
    for head in ("Name", "Parameters", "GMAC", *(f"{part} %" for part in parts)):
        table.add_column(head, justify="left" if head == "Name" else "right", no_wrap=True)
    for name, card in cards.items():
        assert card.networks is not None
        try:
            check_libraries(card)
            found = count_cost(partial(card.networks, **card.options), size)
        except IsbenchError as error:  # a missing library, or a network without example inputs
            failed[name] = str(error)
            continue
        whole = found.whole.macs
        shares = [
            f"{100 * found.parts[part].macs / whole:.1f}" if whole and part in found.parts else ""
            for part in parts
        ]
        macs = f"{whole / 1e9:.3f}"
        table.add_row(name, f"{found.whole.parameters:,}", macs, *shares)
    return table, COUNTED, failed
