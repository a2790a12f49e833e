"""Backsliding: clicks after which a mask is worse than before. Arrays in, arrays out.

FocSAM, arXiv:2405.18706, shows the instability; the threshold and the figures are isbench's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isbench.metrics.clicks import Floats

BACKSLIDE = 0.01  # a click that loses more IoU than this slides back


def find_losses(iou: Floats) -> Floats:
    """Return the IoU lost at each click from the second one, (N, K - 1) from (N, K).

    It is 0 where a click does not slide back, and after a game's end, where the IoU is repeated.
    """
    losses = -np.diff(iou, axis=1)
    return np.where(losses > BACKSLIDE, losses, 0.0)  # nan: no IoU, and no loss


def count_backslides(iou: Floats) -> NDArray[np.int64]:
    """Return the number of clicks that slide back, (N,) from (N, K)."""
    counts: NDArray[np.int64] = np.count_nonzero(find_losses(iou), axis=1)
    return counts


def average_loss(iou: Floats) -> Floats:
    """Return the mean loss of the clicks that slide back, (N,) from (N, K); nan if none does."""
    counts = count_backslides(iou)
    sums = find_losses(iou).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def find_worst_loss(iou: Floats) -> Floats:
    """Return the largest loss of a click, (N,) from (N, K); 0 if none slides back."""
    worst: Floats = find_losses(iou).max(axis=1, initial=0.0)
    return worst
