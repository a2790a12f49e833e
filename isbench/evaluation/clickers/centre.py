"""The clicker `centre`: the pixel deepest inside a wrong region [Sofiiuk 2021]."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.types import Click, Clicker, ClickInput


def centre(given: ClickInput) -> Click:
    """Return the centre of the largest error: the pixel deepest inside a wrong region.

    Depth is the exact Euclidean distance to the nearest pixel outside the error, or outside the
    image, compared as a squared integer. Pixels clicked before have depth 0. The click is positive
    only if the missing region is strictly deeper than the false one; of equally deep pixels the
    first in row-major order is taken. Without errors the click is (0, 0), negative [Sofiiuk 2021].
    """
    mask, truth, ignore, clicks = given.mask, given.truth, given.ignore, given.clicks
    missing = ((truth > mask) > ignore).view(np.uint8)  # for booleans a > b is a & ~b
    false = ((mask > truth) > ignore).view(np.uint8)
    rough_missing, rough_false = _measure_roughly(missing, clicks), _measure_roughly(false, clicks)
    # the deepest pixel of both is at least peak / _LONG deep, so its rough depth is at least this
    least = max(rough_missing.peak, rough_false.peak) / _LONG * _SHORT
    positive = _find_deepest(missing, rough_missing, least)
    negative = _find_deepest(false, rough_false, least)
    if positive.depth > negative.depth:
        return Click(positive.row, positive.col, True)
    return Click(negative.row, negative.col, False)


card = Clicker(
    name="centre",
    make=lambda: centre,
    summary="the pixel deepest inside a wrong region",
    source="Sofiiuk et al., arXiv:2102.06583",
)


# A rough depth is the length of a path to the nearest outside pixel, in steps that OpenCV's 5x5
# mask counts as 1 (straight), 1.4 (diagonal) and 2.1969 (a knight's move). Depending on direction
# such a path is 0.9825 (a knight's move) to 1.0192 (11 degrees off the axis) times the Euclidean
# distance; the bounds leave room for rounding.
_SHORT, _LONG = 0.98, 1.02


class _RoughDepths(NamedTuple):
    """Rough depths in a region's bounding box, 0 where clicked; `row`, `col` are its corner."""

    depths: NDArray[np.float32]
    row: int
    col: int
    peak: float


class _Peak(NamedTuple):
    depth: int  # squared
    row: int
    col: int


def _measure_roughly(region: NDArray[np.uint8], clicks: Sequence[Click]) -> _RoughDepths:
    """Approximate the depths of a region, in a sixth of the time of the exact transform."""
    left, top, width, height = cv2.boundingRect(region)
    if not width:
        return _RoughDepths(np.zeros((0, 0), np.float32), 0, 0, 0.0)
    padded = _pad(region[top : top + height, left : left + width])
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)
    depths = np.asarray(distance, np.float32)[1:-1, 1:-1]
    for click in clicks:
        row, col = click.row - top, click.col - left
        if 0 <= row < height and 0 <= col < width:
            depths[row, col] = 0
    return _RoughDepths(depths, top, left, float(depths.max()))


def _find_deepest(region: NDArray[np.uint8], sketch: _RoughDepths, least: float) -> _Peak:
    """Return the deepest pixel among those with a rough depth of at least `least`, else (0, 0, 0).

    Only their surroundings are measured, with a margin as wide as the largest possible depth.
    """
    if not sketch.peak or sketch.peak < least:
        return _Peak(0, 0, 0)
    candidates = (sketch.depths >= least).view(np.uint8)
    left, top, width, height = cv2.boundingRect(candidates)
    row, col = sketch.row + top, sketch.col + left
    margin = ceil(sketch.peak / _SHORT)
    top_margin, left_margin = min(row, margin), min(col, margin)  # clipped at the image's border
    crop = region[
        row - top_margin : row + height + margin, col - left_margin : col + width + margin
    ]
    distance = cv2.distanceTransform(_pad(crop), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    window = distance[top_margin + 1 :, left_margin + 1 :][:height, :width]
    squared = np.rint(np.square(window, dtype=np.float64)).astype(np.int64)
    depth = squared * candidates[top : top + height, left : left + width]
    at = np.unravel_index(int(depth.argmax()), depth.shape)
    return _Peak(int(depth[at]), row + int(at[0]), col + int(at[1]))


def _pad(region: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pad the region with a border of one pixel that is outside it."""
    padded = cv2.copyMakeBorder(region, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    return np.asarray(padded, np.uint8)
