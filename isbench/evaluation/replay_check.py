"""Replays recorded games and compares them with the record, exactly or within bounds.

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
from isbench.datasets.loading import load_sample
from isbench.evaluation.engine import play
from isbench.storage import store
from isbench.types import Click, Dataset, Predictor, Rules, Sample, Trajectory

NOC_OFF = 2.0  # largest difference of the mean NoC, in clicks
IOU_OFF = 0.05  # largest difference of the mean IoU after as many clicks


class ReplayedGame(NamedTuple):
    """A game as recorded and as replayed now, by the same rules."""

    recorded: Trajectory
    now: Trajectory


class Depth(NamedTuple):
    """How much of a run is replayed: the number of objects, and of clicks per object."""

    objects: int
    clicks: int


def replay_games(
    predictor: Predictor,
    dataset: Dataset,
    trajectories: Sequence[Trajectory],
    rules: Rules,
    depth: Depth,
) -> list[ReplayedGame]:
    """Replay some recorded games, always the same ones, up to `depth.clicks` clicks."""
    keys = pick_keys([game.key for game in trajectories], depth.objects)
    games = []
    for game in trajectories:
        if game.key in keys:
            shorter_game, shorter_rules = shorten(game, rules, depth.clicks)
            now = play_again(predictor, load_sample(dataset, game.key), shorter_rules)
            games.append(ReplayedGame(shorter_game, now))
    return games


def play_again(predictor: Predictor, sample: Sample, rules: Rules) -> Trajectory:
    """Return the trajectory of an object as the predictor plays it now."""
    (game,) = play(predictor, [sample], rules)
    return game.trajectory


def shorten(recorded: Trajectory, rules: Rules, clicks: int) -> tuple[Trajectory, Rules]:
    """Return a game as if played with at most `clicks` clicks, and the corresponding rules."""
    shorter = replace(rules, max_clicks=min(clicks, rules.max_clicks))
    return store.shorten_game(recorded, shorter), shorter


def pick_keys(keys: Sequence[str], count: int) -> tuple[str, ...]:
    """Return `count` keys, always the same ones: those with the smallest sha256."""
    return tuple(sorted(keys, key=lambda key: sha256(key.encode()).hexdigest())[:count])


def describe_difference(recorded: Trajectory, replayed: Trajectory) -> str:
    """Describe where a game first differs from its record, "" if it does not."""
    if recorded == replayed:
        return ""
    pairs = zip(recorded.clicks, replayed.clicks, strict=False)
    for number, (was_click, now) in enumerate(pairs, start=1):
        if was_click != now:
            return f"click {number} was {_format_click(was_click)} and is {_format_click(now)}"
        was_overlap, now_overlap = (game.overlap[number - 1] for game in (recorded, replayed))
        if was_overlap != now_overlap:
            was, now_is = _format_iou(was_overlap), _format_iou(now_overlap)
            return f"after click {number} IoU was {was} and is {now_is}"
    return f"it took {len(recorded.clicks)} clicks and takes {len(replayed.clicks)}"


def count_shared_clicks(recorded: Sequence[Click], now: Sequence[Click]) -> int:
    """Return the number of equal leading clicks."""
    pairs = zip(recorded, now, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def list_changes(games: Sequence[ReplayedGame]) -> Iterator[str]:
    """Yield a description of each game that differs from its record."""
    for game in games:
        if difference := describe_difference(*game):
            yield f"object {game.recorded.key}: {difference}"


def list_excess(games: Sequence[ReplayedGame], rules: Rules) -> Iterator[str]:
    """Yield the differences that are larger than another processor explains.

    NoC is computed as in tables: an object that never reaches the target counts with the whole
    budget. IoU is compared after the last click of the shared prefix, since equal clicks should
    give equal masks, and after the last click that both games have.
    """
    diverging = [game for game in games if not _count_shared(game)]
    for game in diverging:  # the first click depends on the truth alone
        yield f"object {game.recorded.key}: {describe_difference(*game)}"
    if diverging:
        return
    yield from _compare_means(
        "NoC", [_compute_noc(part, rules) for part in zip(*games, strict=True)], NOC_OFF
    )
    for where, counts in (
        (
            "after the last shared click",
            [_count_shared(game) for game in games],
        ),
        ("after the last click of both", [min(len(g.clicks) for g in game) for game in games]),
    ):
        iou = [_compute_iou(part, counts) for part in zip(*games, strict=True)]
        yield from _compare_means(f"mean IoU {where}", iou, IOU_OFF)


def _compare_means(what: str, means: Sequence[float], bound: float) -> Iterator[str]:
    before, after = means
    if abs(before - after) > bound:
        yield f"{what} was {before:.3f} and is {after:.3f}, off by more than {bound:g}"


def _compute_noc(games: Sequence[Trajectory], rules: Rules) -> float:
    iou = metrics.curves(games, rules.max_clicks)
    return float(metrics.clicks_to(iou, metrics.limit_target(rules.stop_iou)).mean())


def _compute_iou(games: Sequence[Trajectory], counts: Sequence[int]) -> float:
    """Return the mean IoU after the given number of clicks of each game; 0 for an empty union."""
    pairs = [game.overlap[count - 1] for game, count in zip(games, counts, strict=True)]
    return float(np.mean([intersection / max(union, 1) for intersection, union in pairs]))


def _count_shared(game: ReplayedGame) -> int:
    return count_shared_clicks(game.recorded.clicks, game.now.clicks)


def _format_click(click: Click) -> str:
    sign = "positive" if click.positive else "negative"
    return f"{sign} at ({click.row}, {click.col})"


def _format_iou(overlap: tuple[int, int]) -> str:
    return f"{overlap[0]}/{overlap[1]}"
