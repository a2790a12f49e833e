"""How many processes play: what was asked for, else what the machine and the models bear."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from isbench.types import Model

_MOST = 8  # by default; each holds a model

workers_option = click.option(
    "--workers", type=int, help="Processes to play in; else one a core, 8 at most, 1 with a GPU."
)


def processes(asked: int | None, cards: Sequence[Model]) -> int:
    """Return how many processes play the cards."""
    if asked is not None:
        return asked
    if any(card.runtime is not None and card.runtime.device != "cpu" for card in cards):
        return 1
    return min(_MOST, _cores())


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
