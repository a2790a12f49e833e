"""Boundary IoU: the IoU of the pixels near the outlines (Cheng et al. 2021, arXiv:2103.16562).

Arrays in, a number out. Not here: the IoU of whole masks, which run files contain.
"""

from __future__ import annotations

import cv2
import numpy as np

from isbench.types import Mask

SHARE = 0.02  # width of the band along an outline, relative to the image's diagonal


def choose_band_width(shape: tuple[int, ...], share: float = SHARE) -> int:
    """Return the width of the band in pixels for an image of this shape, at least 1."""
    return max(1, round(share * float(np.hypot(shape[0], shape[1]))))


def find_boundary_band(mask: Mask, width: int) -> Mask:
    """Return the pixels of a mask within `width` of its outside, (H, W).

    Distance is the larger of rows and columns; pixels outside the image are outside the mask. The
    band is the mask minus its erosion by a 3x3 square, `width` times, as the authors compute it.
    """
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    depth = cv2.distanceTransform(padded, cv2.DIST_C, cv2.DIST_MASK_3)[1:-1, 1:-1]
    band: Mask = mask & (np.asarray(depth) <= width)
    return band


def compute_boundary_iou(mask: Mask, truth: Mask, ignore: Mask, width: int | None = None) -> float:
    """Return the boundary IoU of two masks, (H, W) each, over scored pixels.

    It is nan if neither mask has a scored pixel near its outline. `width` defaults to that for the
    image's diagonal.
    """
    reach = choose_band_width(mask.shape) if width is None else width
    # ignored pixels are added to both masks, so that they have no outline of their own
    mask_band, truth_band = (
        find_boundary_band(one | ignore, reach) & ~ignore & one for one in (mask, truth)
    )
    union = np.count_nonzero(mask_band | truth_band)
    return np.count_nonzero(mask_band & truth_band) / union if union else float("nan")
