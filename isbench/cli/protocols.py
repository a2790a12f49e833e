"""`--protocol`: the rules, the data sets and the table of a published evaluation."""

from __future__ import annotations

from typing import Any, NamedTuple

import click

from isbench.cli.usage import is_given
from isbench.errors import IsbenchError
from isbench.evaluation.rules import rules
from isbench.protocol import PROTOCOLS, find_protocol
from isbench.reporting import tables
from isbench.types import Rules

protocol_option = click.option(
    "--protocol",
    metavar="NAME",
    help=f"Published evaluation: {', '.join(PROTOCOLS)}. It fixes --preset, --clicker, "
    "--max-clicks and --stop-iou, prints its own table, and without a --dataset plays its data "
    "sets.",
)


class Evaluation(NamedTuple):
    """What is played, by which rules, and the view of the table that is printed."""

    names: tuple[str, ...]  # of data sets
    rules: Rules
    view: str


def choose_evaluation(
    protocol: str | None, names: tuple[str, ...], seed: int, **settings: Any
) -> Evaluation:
    """Return what the command line asks for; `settings` are the options that a protocol fixes.

    Raises IsbenchError for an unknown protocol, and for a setting next to one.
    """
    context = click.get_current_context()
    if protocol is None:
        if not names:
            raise click.UsageError("run needs --dataset or --protocol", context)
        return Evaluation(names, rules(seed=seed, **settings), tables.ALL)
    fixed = find_protocol(protocol)
    for name in settings:
        if is_given(name):
            raise IsbenchError(
                f"{name} is {settings[name]}, but the protocol {protocol} fixes it; leave one of "
                "them out",
                setting=name,
            )
    chosen = rules(fixed.preset, max_clicks=fixed.max_clicks, stop_iou=fixed.stop_iou, seed=seed)
    return Evaluation(names or fixed.datasets, chosen, protocol)
