"""Boundary IoU: the IoU of what lies near the outlines (Cheng et al. 2021, arXiv:2103.16562).

Arrays in, a number out. Not here: the IoU of whole masks, which a run file has.
"""

from __future__ import annotations

import cv2
import numpy as np

from isbench.types import Mask

SHARE = 0.02  # of the image's diagonal: how wide the band along an outline is


def boundary_width(shape: tuple[int, ...], share: float = SHARE) -> int:
    """Return the width of the band in pixels for an image of this shape, at least 1."""
    return max(1, round(share * float(np.hypot(shape[0], shape[1]))))


def boundary_band(mask: Mask, width: int) -> Mask:
    """Return the pixels of a mask within `width` of what is not in it, (H, W).

    Distance is the larger of rows and columns; outside the image is not in the mask. That is the
    mask without its erosion by a 3x3 square, `width` times over, as the authors compute it.
    """
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    depth = cv2.distanceTransform(padded, cv2.DIST_C, cv2.DIST_MASK_3)[1:-1, 1:-1]
    near: Mask = mask & (np.asarray(depth) <= width)
    return near


def boundary_iou(mask: Mask, truth: Mask, ignore: Mask, width: int | None = None) -> float:
    """Return the boundary IoU of two masks, (H, W) each, over scored pixels.

    nan where neither has a scored pixel near its outline. `width` is that of the image's diagonal
    unless given.
    """
    reach = boundary_width(mask.shape) if width is None else width
    # what is not scored belongs to both or to neither, so that it draws no outline of its own
    mine, wanted = (boundary_band(one | ignore, reach) & ~ignore & one for one in (mask, truth))
    union = np.count_nonzero(mine | wanted)
    return np.count_nonzero(mine & wanted) / union if union else float("nan")
