"""The clicker `largest`: the centre of the error component with the most pixels [Xu 2016]."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from isbench.evaluation.clickers.centre import centre
from isbench.types import Click, Clicker, ClickInput


def largest(given: ClickInput) -> Click:
    """Return the centre of the largest 4-connected error component by area.

    Pixels clicked before do not count as errors. Ties in area go to the missing region, then to the
    component that comes first in row-major order; the centre and its ties are as in `centre`.
    """
    wrong = (given.mask != given.truth) > given.ignore
    for click in given.clicks:
        wrong[click.row, click.col] = False
    largest_error, size = np.zeros_like(wrong), 0
    for error in (wrong & given.truth, wrong & given.mask):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(error.view(np.uint8), connectivity=4)
        areas = stats[1:, cv2.CC_STAT_AREA]
        if areas.max(initial=0) > size:
            largest_error, size = labels == 1 + areas.argmax(), int(areas.max())
    return centre(replace(given, mask=given.truth ^ largest_error))


card = Clicker(
    name="largest",
    make=lambda: largest,
    summary="the centre of the error component with the most pixels",
    source="Xu et al., CVPR 2016",
)
