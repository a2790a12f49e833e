"""Mean ranks of several systems over blocks, and which of them a test can tell apart.

A block is what all systems were measured on: a data set or an image. Arrays in, arrays out. Source:
Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from isbench.metrics.clicks import Floats

ALPHA = 0.05  # of the critical difference


class Ranking(NamedTuple):
    """How K systems rank over N blocks; rank 1 is the best, equal figures share their ranks."""

    means: Floats  # (K,) mean ranks
    blocks: int
    critical_difference: float  # of two mean ranks, by Nemenyi's test at 0.05; nan for one block
    p_value: float  # of Friedman's test; nan for less than 3 systems or 2 blocks


def rank_systems(values: Floats, higher_is_better: bool = False) -> Ranking:
    """Rank K systems by their figures on N blocks, (N, K), without nan."""
    from scipy import stats  # slow to import

    signed = -values if higher_is_better else values
    blocks, count = signed.shape
    means: Floats = stats.rankdata(signed, axis=1).mean(axis=0)
    critical, p_value = float("nan"), float("nan")
    if blocks > 1:
        quantile = float(stats.studentized_range.ppf(1 - ALPHA, count, np.inf)) / 2**0.5
        critical = quantile * (count * (count + 1) / (6 * blocks)) ** 0.5
    if blocks > 1 and count > 2 and np.ptp(signed, axis=1).any():  # all tied: nothing to test
        p_value = float(stats.friedmanchisquare(*signed.T).pvalue)
    return Ranking(means, blocks, critical, p_value)


def group_systems(ranking: Ranking) -> list[tuple[int, ...]]:
    """Return the largest groups of systems, best first, that Nemenyi's test cannot tell apart.

    A group has two systems or more, whose mean ranks differ by less than the critical difference.
    """
    order = np.argsort(ranking.means, kind="stable").tolist()
    groups: list[tuple[int, ...]] = []
    end = 0  # of the last group
    for start, first in enumerate(order):
        limit = ranking.means[first] + ranking.critical_difference
        stop = start + int(np.count_nonzero(ranking.means[order[start:]] < limit))
        if stop - start > 1 and stop > end:
            groups.append(tuple(order[start:stop]))
            end = stop
    return groups
