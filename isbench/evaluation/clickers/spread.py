"""The clicker `spread:R`: as `centre`, but never within R pixels of an old click [DynaMITe]."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from isbench.evaluation.clickers.depths import (
    Side,
    choose_deeper,
    fall_back,
    find_false,
    find_missing,
    measure_side,
)
from isbench.types import Click, Clicker, ClickFunction, ClickInput, Proposal


def make_spread(radius: int) -> ClickFunction:
    """Return the clicker; pixels at most `radius` from an old click have depth 0.

    Raises ValueError for a radius below 0.
    """
    if radius < 0:
        raise ValueError("wanted a radius of 0 or more")

    def click(given: ClickInput) -> Click | Proposal:
        missing = measure_side(find_missing(given), (), True)
        false = measure_side(find_false(given), (), False)
        side = choose_deeper(*(_clear_disks(one, given, radius) for one in (missing, false)))
        return side.click_at(int(side.depths.argmax())) if side.deepest else fall_back(given)

    return click


def _clear_disks(side: Side, given: ClickInput, radius: int) -> Side:
    """Return the side with depth 0 around the clicks."""
    rows, cols = np.ogrid[: side.depths.shape[0], : side.depths.shape[1]]
    depths = side.depths.copy()
    for click in given.clicks:
        near = (rows + side.row - click.row) ** 2 + (cols + side.col - click.col) ** 2 <= radius**2
        depths[near] = 0
    return replace(side, depths=depths)


card = Clicker(
    name="spread",
    make=make_spread,
    parameters={"radius": 5},
    summary="the deepest pixel that is farther than the radius from every old click",
    source="DynaMITe, arXiv:2304.06668",
)
