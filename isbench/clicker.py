"""The robot user: from a mask, the truth and the clicks so far to the next click. Pure functions.

Not here: when a game ends (`engine`), and which clicker a preset names (`presets`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isqrt
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
    missing_core, false_core = _core(missing, clicks), _core(false, clicks)
    positive = _deepest(missing, clicks, missing_core, at_least=false_core.least)
    negative = _deepest(false, clicks, false_core, at_least=missing_core.least)
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


class _Patch(NamedTuple):
    """A part of a frame, cropped to its non-zero pixels; `row`, `col` are its corner's place."""

    pixels: NDArray[np.uint8]
    row: int
    col: int


class _Core(NamedTuple):
    """Where the deepest unclicked pixels of a region are, and bounds of their squared depth."""

    patch: _Patch
    least: int
    most: int


class _Peak(NamedTuple):
    depth: int  # squared
    row: int
    col: int


def _core(region: NDArray[np.uint8], clicks: Sequence[Click]) -> _Core:
    """Bound the depth of the region's deepest unclicked pixel by erosions, which are cheap.

    Let r be the largest number of rows or columns between any unclicked pixel and the region's
    outside. The depth of the deepest pixel is then at least r and at most sqrt(2) * r, and only
    pixels that are at least r / sqrt(2) rows or columns from the outside can be that deep.
    """
    ladder = [(0, _cropped(_Patch(region, 0, 0)))]  # what is left after erosion by 0, 1, 2, 4...
    if not _unclicked(ladder[0][1], clicks):
        return _Core(ladder[0][1], 0, 0)
    while True:
        low, left = ladder[-1]
        high = max(1, 2 * low)
        eroded = _eroded(left, high - low)
        if not _unclicked(eroded, clicks):
            break
        ladder.append((high, eroded))
    base = low
    while high - low > 1:
        middle = (low + high) // 2
        outlived = _unclicked(_eroded(left, middle - base), clicks)
        low, high = (middle, high) if outlived else (low, middle)
    needed = isqrt((high * high - 1) // 2)  # the most erosions that a pixel that deep outlives
    done, left = next(rung for rung in reversed(ladder) if rung[0] <= needed)
    return _Core(_eroded(left, needed - done), high * high, 2 * high * high)


def _deepest(
    region: NDArray[np.uint8], clicks: Sequence[Click], core: _Core, at_least: int
) -> _Peak:
    """Return the region's deepest unclicked pixel, (0, 0, 0) if it cannot be `at_least` so deep.

    The transform is exact for pixels of the core: the margin is wider than they are deep.
    """
    (pixels, row, col), _, most = core
    if most == 0 or most < at_least:
        return _Peak(0, 0, 0)
    margin = isqrt(most) + 1
    top, left = max(0, row - margin), max(0, col - margin)
    crop = region[top : row + pixels.shape[0] + margin, left : col + pixels.shape[1] + margin]
    padded = cv2.copyMakeBorder(crop, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    window = distance[row - top + 1 :, col - left + 1 :][: pixels.shape[0], : pixels.shape[1]]
    depth = np.rint(np.square(window, dtype=np.float64)).astype(np.int64) * (pixels != 0)
    for place in _inside(core.patch, clicks):
        depth[place] = 0
    at = np.unravel_index(int(depth.argmax()), depth.shape)
    return _Peak(int(depth[at]), row + int(at[0]), col + int(at[1]))


def _eroded(patch: _Patch, by: int) -> _Patch:
    """Return what is left of the patch after erosion by a square of side 2 * by + 1."""
    if not by or not patch.pixels.size:
        return patch
    square = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    # outside a patch is outside the region, so the border is zero and not OpenCV's default
    pixels = cv2.erode(patch.pixels, square, borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
    return _cropped(_Patch(pixels.view(np.uint8), patch.row, patch.col))


def _cropped(patch: _Patch) -> _Patch:
    left, top, width, height = cv2.boundingRect(patch.pixels)
    pixels = patch.pixels[top : top + height, left : left + width]
    return _Patch(pixels, patch.row + top, patch.col + left)


def _unclicked(patch: _Patch, clicks: Sequence[Click]) -> bool:
    """Whether a pixel of the patch was not clicked before."""
    clicked = sum(int(patch.pixels[place] != 0) for place in _inside(patch, clicks))
    return patch.pixels.size > 0 and cv2.countNonZero(patch.pixels) > clicked


def _inside(patch: _Patch, clicks: Sequence[Click]) -> set[tuple[int, int]]:
    """Return the places of the clicks in the patch's own rows and columns, each once."""
    height, width = patch.pixels.shape
    places = {(click.row - patch.row, click.col - patch.col) for click in clicks}
    return {(row, col) for row, col in places if 0 <= row < height and 0 <= col < width}
