"""How many processes play, where, and which part: the options that say so, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from isbench.errors import IsbenchError
from isbench.storage.store import Shard
from isbench.types import Model

workers_option = click.option(
    "--workers",
    default="auto",
    show_default=True,
    metavar="N|auto",
    help="Processes to play in; auto: as many as end soonest, 1 for each GPU.",
)


def parse_workers(asked: str, cards: Sequence[Model]) -> int | None:
    """Return how many processes play the cards, None for as many as end soonest."""
    if asked == "auto":
        devices = {card.runtime.device for card in cards if card.runtime is not None} - {"cpu"}
        if not devices:
            return None
        from isbench.nn.runtime.compute import list_devices  # loaded already: there are networks

        return min(map(list_devices, devices))
    if not asked.isdecimal() or int(asked) < 1:
        raise IsbenchError(f"workers is {asked}; wanted at least 1, or auto")
    return int(asked)


def parse_shard(text: str | None) -> Shard | None:
    """Return the shard that a text like 1/4 names, None for the whole."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise IsbenchError(f"shard is {text}; wanted 1/4 to 4/4 for the parts of four machines")
    return Shard(int(found[1]), int(found[2]))
