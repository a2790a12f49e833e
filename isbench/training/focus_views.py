"""Training samples that are focus views: where one is centred, and a mask with errors around it.

Arrays in, arrays out; randomness comes from a generator that is passed in. That a focus view is
centred near the object's boundary, has a size relative to the object and starts from a perturbed
mask is FocusCut's rule (Lin et al., CVPR 2022). That its radius is half of a side, how near, how
small at least, and how the mask is perturbed are choices of this project. So is that the error at
the centre is gone in half of the views: in a game the pass over the object sees the click first.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.training.recipe import Range
from isbench.types import Mask

LEAST_REACH = 8.0  # pixels of the image; also of the first patch around a click in a game
_NEAR = 0.2  # largest distance from the boundary along rows and columns, relative to the reach
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
# all of the following are relative to half of the view's shorter side
_DEPTH = Range(0.03, 0.3)  # how far a level at the centre is from that of a correct mask
_WIDTH = Range(0.1, 0.5)  # standard deviation of the error at the centre
_WAVES = Range(0.0, 0.1)  # standard deviation of the errors elsewhere
_SPOT = Range(0.05, 0.4)  # radius around the centre in which the mask is right
_KNOTS = 4, 10  # of the waves, along rows and along columns: from 4 to 9

_ANSWERED = 0.5  # probability that it is right there


class Focus(NamedTuple):
    """The square of an image that a focus view shows, in pixels of the image."""

    centre: tuple[float, float]
    reach: float  # half of a side


def draw_focus_view(mask: Mask, radius: Range, rng: np.random.Generator) -> Focus:
    """Draw a square near the boundary of a non-empty mask, which the image's edge is not part of.

    `radius` is that of half a side, relative to the square root of the mask's area.
    """
    boundary = mask & (cv2.erode(mask.view(np.uint8), _CROSS) == 0)
    places = np.flatnonzero(boundary if boundary.any() else mask)
    row, col = divmod(int(places[rng.integers(len(places))]), mask.shape[1])
    reach = rng.uniform(radius.low, radius.high) * np.sqrt(np.count_nonzero(mask))
    reach = max(float(reach), LEAST_REACH)
    moved = rng.uniform(-_NEAR, _NEAR, size=2) * reach
    return Focus((row + float(moved[0]), col + float(moved[1])), reach)


def perturb_mask(
    target: NDArray[np.int8], centre: tuple[int, int], rng: np.random.Generator
) -> Mask:
    """Return a mask like the target, (rows, cols) of 1, 0 and -1, but wrong around the centre.

    The distance to the object's outline, positive inside, is added to smooth noise and to a bump
    that gives the centre the wrong sign. Half of the masks are then made right in a disk around
    the centre. Pixels that the target ignores are not in the mask, so the centre must not be one
    of them.
    """
    half = min(target.shape) / 2
    depth, width, waves = (
        half * rng.uniform(one.low, one.high) for one in (_DEPTH, _WIDTH, _WAVES)
    )
    level = _measure_level(target == 1, half) + waves * _draw_waves(target.shape, rng)
    wanted = -depth if target[centre] == 1 else depth
    rows, cols = (
        np.exp(-((np.arange(length) - middle) ** 2) / (2 * width**2))
        for length, middle in zip(target.shape, centre, strict=True)
    )
    level += (wanted - level[centre]) * rows[:, None] * cols
    mask: Mask = (level > 0) & (target >= 0)
    if rng.random() < _ANSWERED:
        row, col = np.ogrid[: target.shape[0], : target.shape[1]]
        radius = half * rng.uniform(_SPOT.low, _SPOT.high)
        near = np.hypot(row - centre[0], col - centre[1]) <= radius
        mask = np.where(near, target == 1, mask)
    return mask


def _measure_level(mask: Mask, farthest: float) -> NDArray[np.float64]:
    """Return the distance to the outline: positive inside, negative outside, 1/2 next to it."""
    inside, outside = (
        cv2.distanceTransform(one.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5).astype(np.float64)
        for one in (mask, ~mask)
    )
    level: NDArray[np.float64] = np.where(mask, inside - 0.5, 0.5 - outside)
    return np.clip(level, -farthest, farthest)


def _draw_waves(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return smooth noise of about unit variance."""
    knots = rng.standard_normal(rng.integers(*_KNOTS, size=2))
    return np.asarray(
        cv2.resize(knots, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float64
    )
