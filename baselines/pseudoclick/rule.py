"""Where a pseudo click goes: the robot's rule, applied to predicted instead of true errors.

Source: the click variant of PseudoScribble's code, whose comments attribute it to PseudoClick.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.types import Click, Mask


def choose_pseudo_click(
    false_positive: Mask, false_negative: Mask, clicks: Sequence[Click], min_radius: float = 0
) -> Click | None:
    """Return a click at the pixel deepest inside a predicted error, None if there is none.

    Depth is the Euclidean distance to the nearest pixel outside the error, or outside the image;
    earlier pseudo `clicks` have depth 0. The click is positive only if the false negatives are
    strictly deeper; of equally deep pixels the first in row-major order is taken. Errors that are
    nowhere deeper than `min_radius` count as none.
    """
    missing, false = _find_deepest(false_negative, clicks), _find_deepest(false_positive, clicks)
    positive = missing.depth > false.depth
    deepest = missing if positive else false
    if deepest.depth <= min_radius * min_radius:
        return None
    return Click(deepest.row, deepest.col, positive)


class _Peak(NamedTuple):
    depth: int  # squared
    row: int
    col: int


def _find_deepest(region: Mask, clicks: Sequence[Click]) -> _Peak:
    if not region.any():
        return _Peak(0, 0, 0)
    depths = _measure_depths(region)
    for row, col, _ in clicks:
        depths[row, col] = 0
    row, col = map(int, np.unravel_index(int(depths.argmax()), depths.shape))
    return _Peak(int(depths[row, col]), row, col)


def _measure_depths(region: Mask) -> NDArray[np.int64]:
    """Return the squared depth of every pixel."""
    padded = cv2.copyMakeBorder(region.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return np.rint(np.square(distance, dtype=np.float64)).astype(np.int64)
