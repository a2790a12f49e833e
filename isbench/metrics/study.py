"""Figures of a study: the same objects played by S clickers or seeds. Arrays in, numbers out.

Names and definitions of NSR, dSB, dGR and dHH: RClicks, arXiv:2410.11722; of worst, best and gap:
TETRIS, arXiv:2402.06132.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from isbench.metrics.clicks import Floats, split_draws


class Spread(NamedTuple):
    """A figure over S seeds and N objects."""

    mean: float
    std: float  # over seeds for each object (ddof 0), then the mean over objects
    low: float  # of the 95 % bootstrap interval of the mean, over images and seeds
    high: float


class Extremes(NamedTuple):
    """The lowest and highest value over the seeds of each object, as means over objects."""

    worst: float
    best: float
    gap: float


def summarise_seeds(values: Floats, images: Sequence[str]) -> Spread:
    """Return the mean of (S, N) values, their spread over seeds, and the interval of the mean."""
    low, high = bootstrap_two_levels(values, images)
    return Spread(float(values.mean()), float(values.std(axis=0).mean()), low, high)


def measure_sensitivity(values: Floats) -> float:
    """Return the NSR in percent: std / mean over the S seeds of an object, as a mean over objects.

    An object whose (S, N) values are all 0 is as insensitive as one whose values are equal: 0.
    """
    mean, std = values.mean(axis=0), values.std(axis=0)
    return 100 * float(np.where(mean > 0, std / np.where(mean > 0, mean, 1), 0.0).mean())


def measure_increase(values: Floats, base: Floats) -> float:
    """Return by how many percent (N,) values are above the base, as a mean over objects.

    This is dSB for the mean NoC over seeds and the NoC with `centre`, and dGR for the NoC of the
    least likely and the likeliest group. `base` is above 0.
    """
    return 100 * float(((values - base) / base).mean())


def measure_half_increase(groups: Floats) -> float:
    """Return dHH: the mean of `measure_increase` of groups 1 and 6, ..., 5 and 10, from (10, N)."""
    half = len(groups) // 2
    pairs = zip(groups[:half], groups[half:], strict=True)
    return float(np.mean([measure_increase(unlikely, likely) for unlikely, likely in pairs]))


def find_extremes(values: Floats) -> Extremes:
    """Return the lowest and highest of (S, N) values of each object, as means over objects."""
    worst, best = float(values.min(axis=0).mean()), float(values.max(axis=0).mean())
    return Extremes(worst, best, best - worst)


def bootstrap_two_levels(
    values: Floats, images: Sequence[str], seed: int = 0, draws: int = 2000
) -> tuple[float, float]:
    """Return the 95 % bootstrap percentile interval of the mean of (S, N) values.

    Images are drawn with replacement, all objects of an image together; then, for each drawn image,
    S seeds are drawn with replacement. With one seed it is the interval over images.

    Parameters
    ----------
    values : (S, N) array
        One row per seed, one column per object.
    images : sequence of str
        The image of each object.
    seed, draws : int
        Seed and number of bootstrap samples.

    Returns
    -------
    low, high : float
        nan if there are less than two images.
    """
    names, inverse = np.unique(np.asarray(images), return_inverse=True)
    count, seeds = len(names), len(values)
    if count < 2:
        return float("nan"), float("nan")
    sums = np.zeros((count, seeds))
    np.add.at(sums, inverse, values.T)
    sizes = np.bincount(inverse, minlength=count).astype(np.float64)
    rng = np.random.default_rng(seed)
    of_images, of_seeds = np.full(count, 1 / count), np.full(seeds, 1 / seeds)
    means = np.empty(draws)
    for part in split_draws(draws, count * seeds):
        # (D, images): how often each is drawn; (D, images, S): how often with each seed
        times = rng.multinomial(count, of_images, size=len(means[part]))
        chosen = rng.multinomial(times * seeds, of_seeds)
        totals = np.einsum("dis,is->d", chosen, sums) / seeds
        means[part] = totals / (times @ sizes)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
