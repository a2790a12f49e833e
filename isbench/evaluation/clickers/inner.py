"""The clicker `inner:K`: a pixel of the deeper error's inside, with equal chance [Sofiiuk 2021]."""

from __future__ import annotations

import numpy as np

from isbench.evaluation.clickers.depths import (
    Side,
    choose_deeper,
    draw_pixel,
    fall_back,
    find_deeper_side,
    find_false,
    find_missing,
    measure_side,
)
from isbench.types import Click, Clicker, ClickFunction, ClickInput, Mask, Proposal


def make_inner(k: float, before: bool) -> ClickFunction:
    """Return the clicker of the pixels deeper than 1 / `k` of the deepest.

    With a `k` of 1 these are the deepest pixels, below 0 the whole error. With `before`, pixels
    clicked before are taken out of the error before depths are measured, so that the next click
    keeps away from them. Raises ValueError for a `k` from 0 to below 1, which leaves no pixel.
    """
    if 0 <= k < 1:
        raise ValueError("wanted a k of 1 or more, or below 0 for the whole error")

    def click(given: ClickInput) -> Click | Proposal:
        side = _measure_around_clicks(given) if before else find_deeper_side(given)
        index = draw_pixel(_find_inside(side, k), given.rng)
        return fall_back(given) if index is None else side.click_at(index)

    return click


def _find_inside(side: Side, k: float) -> Mask:
    """Return the pixels of the inside in the side's box."""
    if k < 0:
        inside = side.depths > 0
    elif k == 1:
        inside = (side.depths > 0) & (side.depths == side.deepest)
    else:
        inside = side.depths * (k * k) > side.deepest  # depths are squared
    return np.asarray(inside, bool)


def _measure_around_clicks(given: ClickInput) -> Side:
    """Return the deeper side of the errors without the pixels clicked before."""
    sides = []
    for error, positive in ((find_missing(given), True), (find_false(given), False)):
        for click in given.clicks:
            error[click.row, click.col] = False
        sides.append(measure_side(error, (), positive))
    return choose_deeper(*sides)


card = Clicker(
    name="inner",
    make=make_inner,
    parameters={"k": 1.0, "before": False},
    summary="a pixel deeper than 1/k of the deepest, with equal chance; before: away from clicks",
    source="Sofiiuk et al., arXiv:2102.06583 (its training: k = 1.7); before: InterFormer, "
    "arXiv:2304.02942",
    stochastic=True,
)
