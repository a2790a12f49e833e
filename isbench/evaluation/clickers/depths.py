"""Depths of errors, the sign of the next click, and draws of a pixel: what several clickers share.

Depth is the exact Euclidean distance to the nearest pixel outside the error, or outside the image,
as a squared integer; pixels clicked before have depth 0. Not here: the fast search of `centre`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.evaluation.clickers.centre import centre
from isbench.types import Click, ClickInput, Mask, Proposal

FALLBACK = "fallback"  # marks a click of `centre` in place of a rule that found no pixel


@dataclass(frozen=True, eq=False)
class Side:
    """The missing or the false pixels of a mask, within their bounding box."""

    depths: NDArray[np.int64]  # (h, w) squared; 0 outside the error and where clicked before
    row: int  # of the box's corner in the image
    col: int
    positive: bool  # the sign of a click on them

    @property
    def deepest(self) -> int:
        """Return the largest squared depth, 0 without a pixel."""
        return int(self.depths.max(initial=0))

    def click_at(self, index: int) -> Click:
        """Return the click on the pixel with this row-major index in the box."""
        row, col = divmod(index, self.depths.shape[1])
        return Click(self.row + row, self.col + col, self.positive)


def find_missing(given: ClickInput) -> Mask:
    """Return the (H, W) missing pixels."""
    return (given.truth > given.mask) > given.ignore  # for booleans a > b is a & ~b


def find_false(given: ClickInput) -> Mask:
    """Return the (H, W) false pixels."""
    return (given.mask > given.truth) > given.ignore


def measure_side(error: Mask, clicks: Sequence[Click], positive: bool) -> Side:
    """Return an (H, W) error with its depths, which are 0 at the clicks."""
    region = error.view(np.uint8)
    left, top, width, height = cv2.boundingRect(region)
    if not width:
        return Side(np.zeros((0, 0), np.int64), 0, 0, positive)
    crop = region[top : top + height, left : left + width]
    padded = cv2.copyMakeBorder(crop, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    depths = np.rint(np.square(distance, dtype=np.float64)).astype(np.int64)
    for click in clicks:
        row, col = click.row - top, click.col - left
        if 0 <= row < height and 0 <= col < width:
            depths[row, col] = 0
    return Side(depths, top, left, positive)


def find_deeper_side(given: ClickInput) -> Side:
    """Return the missing pixels if the deepest of them is strictly deeper, else the false ones."""
    missing = measure_side(find_missing(given), given.clicks, True)
    false = measure_side(find_false(given), given.clicks, False)
    return choose_deeper(missing, false)


def choose_deeper(missing: Side, false: Side) -> Side:
    """Return the missing side if it is strictly deeper, else the false one."""
    return missing if missing.deepest > false.deepest else false


def weigh_depths(depths: NDArray[np.int64], alpha: float) -> NDArray[np.float64]:
    """Return the chance of each pixel, in proportion to depth ** `alpha` and 1 at the deepest.

    `depths` are squared. Pixels of depth 0 have no chance, also for an `alpha` of 0.
    """
    deepest = max(1, int(depths.max(initial=0)))
    weights: NDArray[np.float64] = np.power(depths / deepest, alpha / 2)
    return np.where(depths > 0, weights, 0.0)


def draw_weighted(weights: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Return the row-major index of an element drawn in proportion to its weight.

    One number is drawn, and the sums are made in row-major order, so that the same generator gives
    the same element on every machine. Some weight must be above 0.
    """
    sums = np.cumsum(weights)
    drawn = np.searchsorted(sums, rng.random() * sums[-1], side="right")
    last = np.searchsorted(sums, sums[-1], side="left")  # the last one with a weight
    return int(min(drawn, last))


def draw_pixel(pixels: NDArray[np.bool_], rng: np.random.Generator) -> int | None:
    """Return the row-major index of a true element, drawn uniformly; None if there is none."""
    found = np.flatnonzero(pixels)
    return int(found[rng.integers(len(found))]) if len(found) else None


def fall_back(given: ClickInput) -> Click | Proposal:
    """Return the click of `centre`, marked as a fall-back unless nothing is wrong."""
    click = centre(given)
    is_wrong = ((given.mask != given.truth) > given.ignore).any()
    return Proposal((click,), mark=FALLBACK) if is_wrong else click
