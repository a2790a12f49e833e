"""Recorded games played again: whether they are as recorded, exactly or within stated bounds.

Not here: building the model (`replay`), and which bound applies to which run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import takewhile
from typing import NamedTuple

import numpy as np

from isbench import metrics
from isbench.evaluation.engine import play
from isbench.storage import store
from isbench.types import Click, Dataset, Predictor, Rules, Sample, Trajectory

NOC_OFF = 2.0  # clicks that mean NoC over the games may be off
IOU_OFF = 0.05  # that their mean IoU may be off after as many clicks


class Replayed(NamedTuple):
    """A game as it was recorded and as it goes now, both by the same rules."""

    recorded: Trajectory
    now: Trajectory


class Depth(NamedTuple):
    """How much of a run is played again: so many objects, and clicks of each."""

    objects: int
    clicks: int


def replay_games(
    predictor: Predictor,
    dataset: Dataset,
    trajectories: Sequence[Trajectory],
    rules: Rules,
    depth: Depth,
) -> list[Replayed]:
    """Play some recorded games again, always the same ones, up to `depth.clicks` clicks."""
    keys = pick_keys([game.key for game in trajectories], depth.objects)
    games = []
    for game in trajectories:
        if game.key in keys:
            short, rules_of_it = shorten(game, rules, depth.clicks)
            now = play_again(predictor, dataset.load(game.key), rules_of_it)
            games.append(Replayed(short, now))
    return games


def play_again(predictor: Predictor, sample: Sample, rules: Rules) -> Trajectory:
    """Return the trajectory of an object as the predictor plays it now."""
    (game,) = play(predictor, [sample], rules)
    return game.trajectory


def shorten(recorded: Trajectory, rules: Rules, clicks: int) -> tuple[Trajectory, Rules]:
    """Return a game as if at most so many clicks had been allowed, and the rules that say so."""
    shorter = replace(rules, max_clicks=min(clicks, rules.max_clicks))
    return store.shorten_game(recorded, shorter), shorter


def pick_keys(keys: Sequence[str], count: int) -> tuple[str, ...]:
    """Return `count` keys, the same ones every time: those with the smallest sha256."""
    return tuple(sorted(keys, key=lambda key: sha256(key.encode()).hexdigest())[:count])


def describe_difference(recorded: Trajectory, replayed: Trajectory) -> str:
    """Return in words where a game leaves its record, "" where it does not."""
    if recorded == replayed:
        return ""
    pairs = zip(recorded.clicks, replayed.clicks, strict=False)
    for number, (then, now) in enumerate(pairs, start=1):
        if then != now:
            return f"click {number} was {_format_click(then)} and is {_format_click(now)}"
        was, is_now = (game.overlap[number - 1] for game in (recorded, replayed))
        if was != is_now:
            return f"after click {number} IoU was {_format_iou(was)} and is {_format_iou(is_now)}"
    return f"it took {len(recorded.clicks)} clicks and takes {len(replayed.clicks)}"


def count_shared_clicks(recorded: Sequence[Click], now: Sequence[Click]) -> int:
    """Return the number of leading clicks that are the same in both."""
    pairs = zip(recorded, now, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def list_changes(games: Sequence[Replayed]) -> Iterator[str]:
    """Yield where each game that is not as recorded leaves its record."""
    for game in games:
        if how := describe_difference(*game):
            yield f"object {game.recorded.key}: {how}"


def list_excess(games: Sequence[Replayed], rules: Rules) -> Iterator[str]:
    """Yield in what the games by these rules are off by more than another processor explains.

    NoC counts as it does in tables, an object that never got there with the whole budget. IoU is
    compared where a game's clicks are the recorded ones for the last time, since the same clicks
    ask for the same mask, and after the last click that both have.
    """
    apart = [game for game in games if not _shared(game)]
    for game in apart:  # the first click is asked of the truth alone
        yield f"object {game.recorded.key}: {describe_difference(*game)}"
    if apart:
        return
    yield from _compare_means(
        "NoC", [_noc(part, rules) for part in zip(*games, strict=True)], NOC_OFF
    )
    for when, counts in (
        ("where the clicks are the same for the last time", [_shared(game) for game in games]),
        ("after the last click of both", [min(len(g.clicks) for g in game) for game in games]),
    ):
        iou = [_iou(part, counts) for part in zip(*games, strict=True)]
        yield from _compare_means(f"mean IoU {when}", iou, IOU_OFF)


def _compare_means(what: str, means: Sequence[float], bound: float) -> Iterator[str]:
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
    return count_shared_clicks(game.recorded.clicks, game.now.clicks)


def _format_click(click: Click) -> str:
    sign = "positive" if click.positive else "negative"
    return f"{sign} at ({click.row}, {click.col})"


def _format_iou(overlap: tuple[int, int]) -> str:
    return f"{overlap[0]}/{overlap[1]}"
