"""Connected regions of a mask, selected by points [FocusCut, FCA-Net]."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from isbench.types import Mask


def keep_regions(mask: Mask, points: Iterable[tuple[int, int]]) -> Mask:
    """Return the 4-connected regions of a mask that contain a (row, col) of `points`.

    A point beside the mask selects nothing.
    """
    _, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    selected = {int(labels[point]) for point in points} - {0}  # 0 is beside the mask
    return np.isin(labels, [*selected])
