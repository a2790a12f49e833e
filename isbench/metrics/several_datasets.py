"""A paired comparison over several data sets, each of which has the same weight."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isbench.metrics.clicks import Difference, Floats, compute_sign_p, draw_means


def compare_over_datasets(
    differences: Sequence[Floats], clusters: Sequence[Sequence[str]], seed: int = 0
) -> Difference:
    """Compare a figure of two systems on D data sets; the lower one wins.

    Parameters
    ----------
    differences : sequence of (N,) arrays
        a - b of each object, for each data set.
    clusters : sequence of sequences of str
        The images of these objects.
    seed : int
        Seed of the bootstrap and of the test.

    Returns
    -------
    Difference
        The mean of the data sets' means. Its interval resamples the images within each data set,
        and is nan if a data set has one image; its test flips the signs of whole images, as
        `compare_paired` does. The counts are those of objects.
    """
    means, sums = [], []
    for number, (difference, images) in enumerate(zip(differences, clusters, strict=True)):
        names, inverse = np.unique(np.asarray(images), return_inverse=True)
        totals = np.bincount(inverse, weights=difference)
        sums.append(totals / (len(difference) * len(differences)))
        drawn = draw_means(difference[:, None], images, seed + number)[:, 0]
        means.append(drawn if len(names) > 1 else np.full(len(drawn), np.nan))
    low, high = np.quantile(np.mean(means, axis=0), [0.025, 0.975])
    joined = np.concatenate(differences)
    return Difference(
        mean=float(np.mean([one.mean() for one in differences])),
        low=float(low),
        high=float(high),
        p_value=compute_sign_p(np.concatenate(sums), seed),
        wins=int((joined < 0).sum()),
        ties=int((joined == 0).sum()),
        losses=int((joined > 0).sum()),
    )
