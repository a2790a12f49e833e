"""The clicker `depth:A`: a pixel of the deeper error, with a chance that grows with its depth."""

from __future__ import annotations

import cv2
import numpy as np

from isbench.evaluation.clickers.depths import (
    draw_pixel,
    draw_weighted,
    fall_back,
    find_deeper_side,
    weigh_depths,
)
from isbench.types import Click, Clicker, ClickFunction, ClickInput, Proposal

SLIP = "slip"  # marks a click that misses on purpose
_RING = 5  # largest distance of a first click that misses the object, in pixels


def make_depth(alpha: float, miss: float = 0.0) -> ClickFunction:
    """Return the clicker whose chance of a pixel is its depth ** `alpha`.

    The sign is that of the deeper error, as in `centre`. With chance `miss` the first click lands
    1 to 5 pixels outside the object, positive all the same. Raises ValueError for an `alpha` below
    0, and a `miss` that is no chance.
    """
    if alpha < 0:
        raise ValueError("wanted an alpha of 0 or more")
    if not 0 <= miss <= 1:
        raise ValueError("wanted a miss from 0 to 1")

    def click(given: ClickInput) -> Click | Proposal:
        if miss and not given.clicks and given.rng.random() < miss:
            missed = _miss_object(given)
            if missed is not None:
                return Proposal((missed,), mark=SLIP)
        side = find_deeper_side(given)
        if not side.deepest:
            return fall_back(given)
        return side.click_at(draw_weighted(weigh_depths(side.depths, alpha), given.rng))

    return click


def _miss_object(given: ClickInput) -> Click | None:
    """Return a positive click beside the object, None if there is no such pixel or no object."""
    if not given.truth.any():
        return None
    outside = np.logical_not(given.truth).view(np.uint8)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    ring = ((distance > 0) & (distance <= _RING)) > given.ignore
    index = draw_pixel(ring, given.rng)
    if index is None:
        return None
    row, col = divmod(index, ring.shape[1])
    return Click(row, col, True)


card = Clicker(
    name="depth",
    make=make_depth,
    parameters={"alpha": 4.0, "miss": 0.0},
    summary="a pixel of the deeper error, with a chance in proportion to depth ** alpha",
    stochastic=True,
)
