"""P-values of several tests, corrected for their number. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from isbench.metrics.clicks import Floats


def adjust_holm(p_values: Floats) -> Floats:
    """Return p-values, (M,) from (M,), that bound the chance of any false finding [Holm 1979].

    The k-th smallest of M is multiplied by M + 1 - k, and is at least the one before it.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors))
    return adjusted


def adjust_benjamini_hochberg(p_values: Floats) -> Floats:
    """Return p-values, (M,) from (M,), that bound the share of false findings.

    Source: Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    from scipy.stats import false_discovery_control  # slow to import

    adjusted: Floats = np.asarray(false_discovery_control(p_values, method="bh"))
    return adjusted


HOLM, BENJAMINI_HOCHBERG = "holm", "benjamini-hochberg"
CORRECTIONS: Mapping[str, Callable[[Floats], Floats]] = {
    HOLM: adjust_holm,
    BENJAMINI_HOCHBERG: adjust_benjamini_hochberg,
}
TITLES: Mapping[str, str] = {HOLM: "Holm", BENJAMINI_HOCHBERG: "Benjamini-Hochberg"}
