"""The clicker `boundary:B`: an error near the outline of the current mask, with equal chance."""

from __future__ import annotations

import cv2
import numpy as np

from isbench.evaluation.clickers.depths import draw_pixel, fall_back, find_deeper_side
from isbench.types import Click, Clicker, ClickFunction, ClickInput, Mask, Proposal

_SQUARE = np.ones((3, 3), np.uint8)


def make_boundary(width: int) -> ClickFunction:
    """Return the clicker of the pixels within `width` of the outline, in rows and columns.

    The sign is that of the deeper error. Raises ValueError for a width below 1.
    """
    if width < 1:
        raise ValueError("wanted a width of 1 or more")

    def click(given: ClickInput) -> Click | Proposal:
        side = find_deeper_side(given)
        height, length = side.depths.shape
        band = find_band(given.mask, width)[side.row :, side.col :][:height, :length]
        index = draw_pixel((side.depths > 0) & band, given.rng)
        return fall_back(given) if index is None else side.click_at(index)

    return click


def find_band(mask: Mask, width: int) -> Mask:
    """Return the (H, W) pixels that `width` dilations add to a mask or as many erosions take away.

    The image's border is no outline.
    """
    region = np.ascontiguousarray(mask).view(np.uint8)
    grown = cv2.dilate(region, _SQUARE, iterations=width)
    shrunk = cv2.erode(region, _SQUARE, iterations=width)
    return np.asarray(grown != shrunk, bool)


card = Clicker(
    name="boundary",
    make=make_boundary,
    parameters={"width": 3},
    summary="a wrong pixel this near to the mask's outline, with equal chance",
    source="DGC, github.com/whiteseu/dgc-interactive-segmentation",
    stochastic=True,
)
