"""Paired comparison of two runs over the same objects."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from isbench.errors import IsbenchError
from isbench.metrics import (
    METRICS,
    TARGETS,
    Difference,
    Games,
    Metric,
    Values,
    compare_paired,
    compute_values,
    has_scored_pixels,
    make_games,
)
from isbench.storage import store
from isbench.storage.store import Run

VIEW = "noc"  # the metrics of this table are compared


@dataclass(frozen=True)
class Comparison:
    """The differences of two runs: one row per figure, and the objects, most different first."""

    rows: tuple[tuple[str, tuple[float, float], Difference], ...]  # name, means, difference
    listed: str  # the figure by which objects differ: NoC at the highest target
    differing: tuple[tuple[str, float, float], ...]  # key, figure of A and of B
    notes: tuple[str, ...]


class PairedGames(NamedTuple):
    """The games of two runs over the same N objects."""

    keys: list[str]  # (N,) sorted
    a: Games
    b: Games


class _Pair(NamedTuple):
    """A metric of the same objects in two runs."""

    metric: Metric
    a: Values
    b: Values


def compare(a: Run, b: Run, metrics: Sequence[Metric] = METRICS) -> Comparison:
    """Compare the metrics of the table "noc" in pairs, for the budget that both runs cover.

    Parameters
    ----------
    a, b : Run
        Complete runs over the same objects.
    metrics : sequence of Metric
        Those of the table "noc" are compared; a metric that a run cannot tell is left out.

    Returns
    -------
    Comparison
        One row per metric, and the objects that differ most.

    Raises
    ------
    IsbenchError
        If the runs are over different objects or data, or share no metric.
    """
    games = pair_games(a, b)
    pairs = list(_compute_pairs(games, metrics))
    if not pairs:
        stop = min(a.spec.rules.stop_iou, b.spec.rules.stop_iou)
        raise IsbenchError(
            f"a run stopped at IoU {stop:g}; wanted {TARGETS[0]:.2f} or more to compare NoC"
        )
    rows = tuple(
        (
            name_compared_figure(pair.metric, games.a.budget),
            (float(pair.a.mean()), float(pair.b.mean())),
            _compare_pair(pair, games.a.images),
        )
        for pair in pairs
    )
    listed = next((pair for pair in reversed(pairs) if pair.metric in METRICS), pairs[-1])
    return Comparison(
        rows,
        name_compared_figure(listed.metric, games.a.budget),
        _list_differing(games.keys, listed.a, listed.b),
        tuple(list_notes(a, b)),
    )


def pair_games(a: Run, b: Run) -> PairedGames:
    """Return the games of two runs in the same order, up to the clicks that both allow.

    Raises IsbenchError if the runs are over different objects or data.
    """
    games_a = {trajectory.key: trajectory for trajectory in a.trajectories}
    games_b = {trajectory.key: trajectory for trajectory in b.trajectories}
    if games_a.keys() != games_b.keys():
        raise IsbenchError(
            f"runs {make_title(a)} and {make_title(b)} have "
            f"{len(games_a.keys() & games_b.keys())} objects in common of {len(games_a)} and "
            f"{len(games_b)}; wanted the same objects"
        )
    for what in ("dataset", "fingerprint"):
        if getattr(a.spec, what) != getattr(b.spec, what):
            raise IsbenchError(
                f"runs {make_title(a)} and {make_title(b)} are over different data ({what} "
                f"{getattr(a.spec, what)} and {getattr(b.spec, what)}); wanted the same data"
            )
    keys = sorted(games_a)
    budget = min(a.spec.rules.max_clicks, b.spec.rules.max_clicks)
    return PairedGames(
        keys,
        make_games([games_a[key] for key in keys], a.spec.rules, budget, a.seconds),
        make_games([games_b[key] for key in keys], b.spec.rules, budget, b.seconds),
    )


def make_title(run: Run) -> str:
    """Return a title of a run: model, data set and digest."""
    return f"{run.spec.model} on {run.spec.dataset} ({store.parse_digest(run.path)})"


def _compute_pairs(games: PairedGames, metrics: Sequence[Metric]) -> Iterator[_Pair]:
    """Yield the metrics to compare that both runs can tell of every object."""
    for metric in metrics:
        if metric.view == VIEW:
            of_a, of_b = compute_values(metric, games.a), compute_values(metric, games.b)
            if of_a is not None and of_b is not None and np.isfinite(of_a + of_b).all():
                yield _Pair(metric, of_a, of_b)


def _compare_pair(pair: _Pair, images: Sequence[str]) -> Difference:
    difference = compare_paired(pair.a.astype(np.float64), pair.b.astype(np.float64), images)
    return orient_wins(pair.metric, difference)


def orient_wins(metric: Metric, difference: Difference) -> Difference:
    """Return a difference in which the better figure wins."""
    if metric.better == "lower":
        return difference
    return difference._replace(wins=difference.losses, losses=difference.wins)


def name_compared_figure(metric: Metric, budget: int) -> str:
    """Return the name of what is compared: NoC@90 is NoC_20@90 for 20 clicks.

    Comparisons are of means over objects, or of sums. If the tables summarise the metric in
    another way, the name says so, since the figure is not theirs.
    """
    name = re.sub("^(No[CF])@", rf"\g<1>_{budget}@", metric.name)
    alike = metric.summary in ("mean with interval", "mean", "sum")
    return name if alike else f"{name} (mean over objects)"


def _list_differing(
    keys: Sequence[str], a: Values, b: Values
) -> tuple[tuple[str, float, float], ...]:
    pairs = zip(keys, a.tolist(), b.tolist(), strict=True)
    differing = [pair for pair in pairs if pair[1] != pair[2]]
    return tuple(sorted(differing, key=lambda pair: (-abs(pair[1] - pair[2]), pair[0])))


def list_notes(a: Run, b: Run) -> Iterator[str]:
    """Yield what a reader of the comparison should know: how the runs differ besides the model."""
    if a.path == b.path:
        yield "A and B are the same run; name two"
    unscored = sum(not has_scored_pixels(game) for game in a.trajectories)
    if unscored:
        yield (
            f"{unscored} of {len(a.trajectories)} objects have no scored pixel; NoC and NoF count "
            "them as never solved"
        )
    fields_a, fields_b = asdict(a.spec), asdict(b.spec)
    fields_a.update(fields_a.pop("rules"))
    fields_b.update(fields_b.pop("rules"))
    of_model = {"model", "version", "libraries", "options", "weights"}
    skipped = {"preset_digest", "limit"}
    for name in fields_a:
        relevant = name not in skipped and (name not in of_model or a.spec.model == b.spec.model)
        if relevant and fields_a[name] != fields_b[name]:
            yield f"{name} differs: {fields_a[name]} and {fields_b[name]}"
