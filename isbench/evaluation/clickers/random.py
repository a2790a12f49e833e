"""The clicker `random`: any wrong pixel, for studies of robustness."""

from __future__ import annotations

import numpy as np

from isbench.types import Click, Clicker, ClickInput


def random(given: ClickInput) -> Click:
    """Return a wrong pixel drawn uniformly.

    Without errors the click is (0, 0), negative, as in `centre`.
    """
    rows, cols = np.nonzero((given.mask != given.truth) > given.ignore)
    if not len(rows):
        return Click(0, 0, False)
    k = given.rng.integers(len(rows))
    return Click(int(rows[k]), int(cols[k]), bool(given.truth[rows[k], cols[k]]))


card = Clicker(
    name="random",
    make=lambda: random,
    summary="any wrong pixel with equal chance",
    stochastic=True,
)
