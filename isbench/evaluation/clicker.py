"""The robot user: from a mask, the truth and the clicks so far to the next click. Pure functions.

Not here: when a game ends (`engine`), and which clicker a preset names (`presets`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.types import Click, Mask

# (mask, truth, ignore, clicks so far, generator for this click's lots) -> the next click
Clicker: TypeAlias = Callable[[Mask, Mask, Mask, Sequence[Click], np.random.Generator], Click]


def centre(
    mask: Mask, truth: Mask, ignore: Mask, clicks: Sequence[Click], rng: np.random.Generator
) -> Click:
    """Return the centre of the largest error: the pixel deepest inside what is wrong.

    Depth is the exact Euclidean distance to the nearest pixel outside the error, or outside the
    image, compared as a squared integer. Pixels clicked before have depth 0. The click is positive
    only if the missing part is strictly deeper than the false part; among equals the first pixel
    in row-major order is taken; with nothing wrong that is (0, 0), negative [Sofiiuk 2021].
    """
    missing = ((truth > mask) > ignore).view(np.uint8)  # for booleans a > b is a & ~b
    false = ((mask > truth) > ignore).view(np.uint8)
    missing_sketch, false_sketch = _sketch(missing, clicks), _sketch(false, clicks)
    # the deepest pixel of both is at least peak / _LONG deep, so its rough depth is at least this
    least = max(missing_sketch.peak, false_sketch.peak) / _LONG * _SHORT
    positive = _deepest(missing, missing_sketch, least)
    negative = _deepest(false, false_sketch, least)
    if positive.depth > negative.depth:
        return Click(positive.row, positive.col, True)
    return Click(negative.row, negative.col, False)


def largest(
    mask: Mask, truth: Mask, ignore: Mask, clicks: Sequence[Click], rng: np.random.Generator
) -> Click:
    """Return the centre of the error component of the most pixels, 4-connected [Xu 2016].

    Pixels clicked before are no part of the error. A tie in size goes to the missing part, then to
    the component met first in row-major order; the centre and its ties are as in `centre`.
    """
    wrong = (mask != truth) > ignore
    for click in clicks:
        wrong[click.row, click.col] = False
    best, size = np.zeros_like(wrong), 0
    for error in (wrong & truth, wrong & mask):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(error.view(np.uint8), connectivity=4)
        areas = stats[1:, cv2.CC_STAT_AREA]
        if areas.max(initial=0) > size:
            best, size = labels == 1 + areas.argmax(), int(areas.max())
    return centre(truth ^ best, truth, ignore, clicks, rng)


def random(
    mask: Mask, truth: Mask, ignore: Mask, clicks: Sequence[Click], rng: np.random.Generator
) -> Click:
    """Return a wrong pixel drawn with equal chances, for studies of robustness.

    With nothing wrong it is (0, 0), negative, as in `centre`.
    """
    rows, cols = np.nonzero((mask != truth) > ignore)
    if not len(rows):
        return Click(0, 0, False)
    k = rng.integers(len(rows))
    return Click(int(rows[k]), int(cols[k]), bool(truth[rows[k], cols[k]]))


CLICKERS: Mapping[str, Clicker] = {"centre": centre, "largest": largest, "random": random}


# A rough depth is the length of a path to the nearest outside pixel, in steps that OpenCV's 5x5
# mask counts as 1 (straight), 1.4 (diagonal) and 2.1969 (a knight's move). By its direction such a
# path is 0.9825 (a knight's) to 1.0192 (11 degrees off the axis) times as long as the straight
# line; the bounds leave room for rounding.
_SHORT, _LONG = 0.98, 1.02


class _Sketch(NamedTuple):
    """Rough depths of a region's box, 0 where clicked; `row`, `col` are its corner's place."""

    depths: NDArray[np.float32]
    row: int
    col: int
    peak: float


class _Peak(NamedTuple):
    depth: int  # squared
    row: int
    col: int


def _sketch(region: NDArray[np.uint8], clicks: Sequence[Click]) -> _Sketch:
    """Measure the region roughly, in a sixth of the time of the exact transform."""
    left, top, width, height = cv2.boundingRect(region)
    if not width:
        return _Sketch(np.zeros((0, 0), np.float32), 0, 0, 0.0)
    padded = _padded(region[top : top + height, left : left + width])
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)
    depths = np.asarray(distance, np.float32)[1:-1, 1:-1]
    for click in clicks:
        row, col = click.row - top, click.col - left
        if 0 <= row < height and 0 <= col < width:
            depths[row, col] = 0
    return _Sketch(depths, top, left, float(depths.max()))


def _deepest(region: NDArray[np.uint8], sketch: _Sketch, least: float) -> _Peak:
    """Return the deepest pixel of those with a rough depth of `least`, (0, 0, 0) if there is none.

    Only their surroundings are measured: the margin is as wide as any of them can be deep.
    """
    if not sketch.peak or sketch.peak < least:
        return _Peak(0, 0, 0)
    candidates = (sketch.depths >= least).view(np.uint8)
    left, top, width, height = cv2.boundingRect(candidates)
    row, col = sketch.row + top, sketch.col + left
    margin = ceil(sketch.peak / _SHORT)
    above, before = min(row, margin), min(col, margin)  # rows and columns that the image has there
    crop = region[row - above : row + height + margin, col - before : col + width + margin]
    distance = cv2.distanceTransform(_padded(crop), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    window = distance[above + 1 :, before + 1 :][:height, :width]
    squared = np.rint(np.square(window, dtype=np.float64)).astype(np.int64)
    depth = squared * candidates[top : top + height, left : left + width]
    at = np.unravel_index(int(depth.argmax()), depth.shape)
    return _Peak(int(depth[at]), row + int(at[0]), col + int(at[1]))


def _padded(region: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the region with a rim of one pixel that is not in it."""
    padded = cv2.copyMakeBorder(region, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    return np.asarray(padded, np.uint8)
