"""The options for parallel runs: the number of workers and the shard."""

from __future__ import annotations

import re

import click

from isbench.errors import IsbenchError
from isbench.storage.store import Shard

workers_option = click.option(
    "--workers",
    default="auto",
    show_default=True,
    metavar="N|auto",
    help="Worker processes; auto: the number that finishes soonest, 1 per GPU.",
)


def parse_workers(text: str) -> int | None:
    """Return the number of workers, None for as many as finish soonest.

    Raises IsbenchError for anything but `auto` or a number from 1 on.
    """
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise IsbenchError(f"workers is {text}; wanted at least 1, or auto", setting="workers")
    return int(text)


def parse_shard(text: str | None) -> Shard | None:
    """Return the shard that a text like 1/4 names, None for the whole run."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise IsbenchError(
            f"shard is {text}; wanted K/N, such as 1/4 to 4/4 for four machines", setting="shard"
        )
    return Shard(int(found[1]), int(found[2]))
