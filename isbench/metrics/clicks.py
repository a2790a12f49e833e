"""Numbers from trajectories. Arrays in, arrays out; no files, no models.

Source of NoC, NoF and the clicks' order: Sofiiuk et al., arXiv:2102.06583; of the cluster
bootstrap: Field and Welsh, doi:10.1111/j.1467-9868.2007.00593.x.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isbench.types import Trajectory

Floats = NDArray[np.float64]
_KEPT = 1_000_000  # most numbers of resampled clusters that are kept, 8 MB


def curves(trajectories: Sequence[Trajectory], max_clicks: int) -> Floats:
    """Return the IoU after each click, (N, max_clicks); a game's last IoU is repeated to the end.

    An object whose scored truth and mask are both empty has no IoU, which is nan.
    """
    iou = np.full((len(trajectories), max_clicks), np.nan)
    for row, trajectory in zip(iou, trajectories, strict=True):
        overlap = np.array(trajectory.overlap[:max_clicks], dtype=np.float64)
        with np.errstate(invalid="ignore"):
            row[: len(overlap)] = overlap[:, 0] / overlap[:, 1]
        row[len(overlap) :] = row[len(overlap) - 1]
    return iou


def has_scored_pixels(game: Trajectory) -> bool:
    """Return whether an object has a pixel that is scored, as far as its game shows.

    The union of its scored pixels and a mask is then never empty; and a user clicks on them, or a
    mask has some of them.
    """
    touched = any(click.positive for click in game.clicks) or any(one for one, _ in game.overlap)
    return touched and all(union for _, union in game.overlap)


def clicks_to(iou: Floats, target: float) -> NDArray[np.int64]:
    """Return the NoC, (N,) from (N, K): clicks needed to reach `target`, K if never reached."""
    reached = iou >= target
    first: NDArray[np.int64] = reached.argmax(axis=1) + 1
    return np.where(reached.any(axis=1), first, iou.shape[1])


def find_failures(iou: Floats, target: float) -> NDArray[np.bool_]:
    """Return which objects never reach `target`, (N,) from (N, K); their number is the NoF."""
    return np.logical_not((iou >= target).any(axis=1), dtype=bool)


def find_failures_ritm(iou: Floats, target: float) -> NDArray[np.bool_]:
    """Return the objects that RITM counts as failed, including those solved at the last click."""
    return np.equal(clicks_to(iou, target), iou.shape[1], dtype=bool)


def count_by_clicks(iou: Floats, target: float) -> tuple[NDArray[np.int64], int]:
    """Return how many objects reach `target` at each click, (K,) from (N, K), and how many never.

    The number that never reach it is the NoF.
    """
    reached = clicks_to(iou, target)[~find_failures(iou, target)]
    return np.bincount(reached, minlength=iou.shape[1] + 1)[1:], len(iou) - len(reached)


def compute_auc(iou: Floats) -> Floats:
    """Return the IoU-AuC, (N,) from (N, K): the area under IoU@1 to IoU@K over K - 1 [1].

    With one click it is IoU@1.

    [1] RClicks, arXiv:2410.11722
    """
    heights = (iou[:, 1:] + iou[:, :-1]) / 2 if iou.shape[1] > 1 else iou
    mean: Floats = heights.mean(axis=1)
    return mean


def find_image(key: str) -> str:
    """Return the image part of an object's key."""
    return key.rpartition("#")[0]


def bootstrap(
    values: Floats, clusters: Sequence[str], seed: int = 0, draws: int = 2000
) -> tuple[Floats, Floats]:
    """Return the 95 % bootstrap percentile interval of each column's mean, (M,) from (N, M).

    Parameters
    ----------
    values : (N, M) array
        One row per object.
    clusters : sequence of str
        The image of each object. Whole clusters are resampled, since objects of one image are not
        independent.
    seed, draws : int
        Seed and number of bootstrap samples.

    Returns
    -------
    low, high : (M,) arrays
        nan if there are less than two clusters.
    """
    if len(set(clusters)) < 2:
        undefined = np.full(values.shape[1], np.nan)
        return undefined, undefined
    low, high = np.quantile(draw_means(values, clusters, seed, draws), [0.025, 0.975], axis=0)
    return low, high


def draw_means(values: Floats, clusters: Sequence[str], seed: int = 0, draws: int = 2000) -> Floats:
    """Return the means of bootstrap samples, (draws, M) from (N, M), as `bootstrap` draws them."""
    names, inverse = np.unique(np.asarray(clusters), return_inverse=True)
    count = len(names)
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, inverse, values)
    sizes = np.bincount(inverse, minlength=count).astype(np.float64)
    means = np.empty((draws, values.shape[1]))
    for part, weights in zip(split_draws(draws, count), _resample(count, seed, draws), strict=True):
        means[part] = (weights @ sums) / (weights @ sizes)[:, None]
    return means


def _resample(count: int, seed: int, draws: int) -> Iterable[Floats]:
    """Return how often each cluster is drawn in each sample, (part of the draws, count) each."""
    if count * draws <= _KEPT:
        return _keep_resampled(count, seed, draws)
    return _draw_samples(count, seed, draws)


@lru_cache(maxsize=4)  # tables have many runs of the same few data sets, and drawing takes longest
def _keep_resampled(count: int, seed: int, draws: int) -> tuple[Floats, ...]:
    return tuple(_draw_samples(count, seed, draws))


def _draw_samples(count: int, seed: int, draws: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed)
    chances = np.full(count, 1 / count)
    for part in split_draws(draws, count):
        size = len(range(*part.indices(draws)))
        yield rng.multinomial(count, chances, size=size).astype(np.float64)


class Difference(NamedTuple):
    """A paired comparison of one figure: mean of a - b, its interval, and counts of objects."""

    mean: float
    low: float
    high: float
    p_value: float
    wins: int  # objects where a is lower
    ties: int
    losses: int


def compare_paired(
    a: Floats, b: Floats, clusters: Sequence[str], seed: int = 0, draws: int = 10_000
) -> Difference:
    """Compare two figures of the same objects; the lower one wins.

    Parameters
    ----------
    a, b : (N,) arrays
        The figures to compare.
    clusters : sequence of str
        The image of each object.
    seed, draws : int
        Seed and number of random draws of the test.

    Returns
    -------
    Difference
        Its p-value is that of a sign-flip test: the share of draws in which the mean, with the
        differences of each cluster multiplied by a random sign, is at least as far from zero as the
        observed mean, which counts as one draw.
    """
    difference = a - b
    low, high = bootstrap(difference[:, None], clusters, seed)
    _, inverse = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(inverse, weights=difference).astype(np.float64)
    return Difference(
        mean=float(difference.mean()),
        low=float(low[0]),
        high=float(high[0]),
        p_value=compute_sign_p(sums, seed, draws),
        wins=int((difference < 0).sum()),
        ties=int((difference == 0).sum()),
        losses=int((difference > 0).sum()),
    )


def compute_sign_p(sums: Floats, seed: int = 0, draws: int = 10_000) -> float:
    """Return the p-value of the sign-flip test of `compare_paired` for the sums of C clusters."""
    rng = np.random.default_rng(seed)
    flipped = np.empty(draws)
    for part in split_draws(draws, len(sums)):
        signs = rng.integers(0, 2, size=(len(flipped[part]), len(sums))) * 2.0 - 1.0
        flipped[part] = signs @ sums
    # sums of the same numbers in another order count as equal
    tolerance = 1e-9 * np.abs(sums).sum()
    extreme = np.abs(flipped) >= abs(sums.sum()) - tolerance
    return float((1 + extreme.sum()) / (1 + draws))


def split_draws(draws: int, clusters: int) -> Iterator[slice]:
    """Yield the parts into which draws are split, of a few megabytes whatever the clusters."""
    step = max(1, 500_000 // clusters)
    return (slice(start, start + step) for start in range(0, draws, step))
