"""Whether games played again are the recorded ones: to the bit, or within stated bounds.

Games in, words out. Not here: playing them (`replay`), and which bound holds for which run
(`isbench reproduce --check`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from isbench import metrics
from isbench.replay import difference, shared
from isbench.types import Rules, Trajectory

NOC_OFF = 2.0  # clicks that mean NoC over the games may be off
IOU_OFF = 0.05  # that their mean IoU may be off after as many clicks


class Replayed(NamedTuple):
    """A game as it was recorded and as it goes now, both by the same rules."""

    recorded: Trajectory
    now: Trajectory


def changes(games: Sequence[Replayed]) -> Iterator[str]:
    """Yield where each game that is not as recorded leaves its record."""
    for game in games:
        if how := difference(*game):
            yield f"object {game.recorded.key}: {how}"


def beyond(games: Sequence[Replayed], rules: Rules) -> Iterator[str]:
    """Yield in what the games by these rules are off by more than another processor explains.

    NoC counts as it does in tables, an object that never got there with the whole budget. IoU is
    compared where a game's clicks are the recorded ones for the last time, since the same clicks
    ask for the same mask, and after the last click that both have.
    """
    apart = [game for game in games if not _shared(game)]
    for game in apart:  # the first click is asked of the truth alone
        yield f"object {game.recorded.key}: {difference(*game)}"
    if apart:
        return
    yield from _told("NoC", [_noc(part, rules) for part in zip(*games, strict=True)], NOC_OFF)
    for when, counts in (
        ("where the clicks are the same for the last time", [_shared(game) for game in games]),
        ("after the last click of both", [min(len(g.clicks) for g in game) for game in games]),
    ):
        iou = [_iou(part, counts) for part in zip(*games, strict=True)]
        yield from _told(f"mean IoU {when}", iou, IOU_OFF)


def _told(what: str, means: Sequence[float], bound: float) -> Iterator[str]:
    before, after = means
    if abs(before - after) > bound:
        yield f"{what} was {before:.3f} and is {after:.3f}, off by more than {bound:g}"


def _noc(games: Sequence[Trajectory], rules: Rules) -> float:
    iou = metrics.curves(games, rules.max_clicks)
    return float(metrics.clicks_to(iou, min(0.90, rules.stop_iou)).mean())


def _iou(games: Sequence[Trajectory], counts: Sequence[int]) -> float:
    """Return the mean IoU after so many clicks of each game; 0 where there is nothing to find."""
    pairs = [game.overlap[count - 1] for game, count in zip(games, counts, strict=True)]
    return float(np.mean([intersection / max(union, 1) for intersection, union in pairs]))


def _shared(game: Replayed) -> int:
    return shared(game.recorded.clicks, game.now.clicks)
