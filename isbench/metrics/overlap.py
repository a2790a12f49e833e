"""The overlap of a mask with the ground truth: the two counts that a trajectory records."""

from __future__ import annotations

import numpy as np

from isbench.types import Mask


def count_overlap(mask: Mask, truth: Mask, ignore: Mask) -> tuple[int, int]:
    """Return (intersection, union) of two (H, W) masks in pixels, without ignored ones.

    `truth` is false wherever `ignore` is true, as in every Sample.
    """
    scored = mask > ignore
    return int(np.count_nonzero(scored & truth)), int(np.count_nonzero(scored | truth))
