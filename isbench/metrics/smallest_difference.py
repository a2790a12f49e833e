"""The smallest difference that a number of objects can tell, and whether they can tell any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isbench.metrics.clicks import Floats

ALPHA = 0.05  # a paired test with a smaller p-value finds a difference
POWER = 0.80


def can_reject(images: int) -> bool:
    """Whether a sign-flip test over so many images can have a p-value below 0.05: from 6."""
    return 2.0 ** (1 - images) < ALPHA


def find_smallest_difference(difference: Floats, clusters: Sequence[str]) -> float:
    """Return the smallest true mean difference that a paired test at 0.05 finds in 80 % of studies.

    Parameters
    ----------
    difference : (N,) array
        The observed difference of each object, whose spread decides.
    clusters : sequence of str
        The image of each object: the error of the mean is that of means over whole images.

    Returns
    -------
    float
        The quantiles of Student's t for both risks, times the standard error; nan for one image.
    """
    from scipy.special import stdtrit

    _, inverse = np.unique(np.asarray(clusters), return_inverse=True)
    residuals = np.bincount(inverse, weights=difference - difference.mean())
    count = len(residuals)
    if count < 2:
        return float("nan")
    error = np.sqrt(count / (count - 1) * (residuals**2).sum()) / len(difference)
    quantiles = stdtrit(count - 1, [1 - ALPHA / 2, POWER])
    return float(error * quantiles.sum())
