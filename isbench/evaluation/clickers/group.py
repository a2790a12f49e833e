"""The clicker `group:G/10`: the G-th tenth of the clicks of a map, from unlikely to likely ones.

The rule of RClicks' click groups [arXiv:2410.11722]. Its map is a trained network's; here it is
depth ** alpha.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from isbench.evaluation.clickers.depths import (
    draw_weighted,
    fall_back,
    find_deeper_side,
    weigh_depths,
)
from isbench.types import Click, Clicker, ClickFunction, ClickInput, Proposal

GROUPS = 10


def make_group(group: str, alpha: float) -> ClickFunction:
    """Return the clicker of a group, "1/10" (least likely) to "10/10" (likeliest).

    The sign is that of the deeper error. Raises ValueError for another group, and an `alpha` of 0
    or less, with which all pixels are equally likely.
    """
    found = re.fullmatch(rf"([1-9]|{GROUPS})/{GROUPS}", group)
    if found is None:
        raise ValueError(f"wanted a group from 1/{GROUPS} to {GROUPS}/{GROUPS}")
    if alpha <= 0:
        raise ValueError("wanted an alpha above 0")
    number = int(found[1])

    def click(given: ClickInput) -> Click | Proposal:
        side = find_deeper_side(given)
        if not side.deepest:
            return fall_back(given)
        kept = keep_group(weigh_depths(side.depths, alpha), number)
        return side.click_at(draw_weighted(kept, given.rng))

    return click


def keep_group(chances: NDArray[np.float64], number: int) -> NDArray[np.float64]:
    """Return the chances of a map of any shape, those outside a group as 0.

    A group has the values from the one at which the summed chances, sorted from low to high, pass
    (number - 1) tenths of the total, to the one at which they pass `number` tenths.
    """
    ordered = np.sort(chances[chances > 0], axis=None)
    sums = np.cumsum(ordered)
    low = np.searchsorted(sums, sums[-1] * ((number - 1) / GROUPS), side="left")
    high = np.searchsorted(sums, sums[-1] * (number / GROUPS), side="right")
    lowest, highest = ordered[low], ordered[min(high, len(ordered) - 1)]
    return np.where((chances >= lowest) & (chances <= highest), chances, 0.0)


card = Clicker(
    name="group",
    make=make_group,
    parameters={"group": f"{GROUPS}/{GROUPS}", "alpha": 4.0},
    summary="a tenth of the likely clicks: 1/10 has the least likely pixels, 10/10 the likeliest",
    source="RClicks, arXiv:2410.11722; depth ** alpha in place of its network",
    stochastic=True,
)
