"""The clicker `jitter:S`: `centre`, moved at random; the sign is that of the pixel it lands on."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from isbench.evaluation.clickers.centre import centre
from isbench.types import Click, Clicker, ClickFunction, ClickInput, Proposal, Scalar

MISSED = "missed"  # marks a click that lands on no error
_LEAST_RADIUS = 2.0  # pixels, in which a click moves if its share of the mask's radius is smaller


def make_jitter(sigma: float, first: bool, percent: float) -> ClickFunction:
    """Return the clicker that moves clicks from the second one on, with `first` every click.

    Row and column move by a normal number with the standard deviation `sigma`, in pixels, rounded.
    With a `percent`, a click moves instead in a direction and by a distance that are both drawn
    uniformly, up to this percentage of the radius of a disk as large as the current mask, and at
    least up to 2 pixels. Raises ValueError for numbers below 0.
    """
    if sigma < 0 or percent < 0:
        raise ValueError("wanted a sigma and a percentage of 0 or more")

    def click(given: ClickInput) -> Click | Proposal:
        start = centre(given)
        found_error = _is_wrong(given, start) and start.positive == given.truth[start[:2]]
        if not found_error or not (given.clicks or first):
            return start  # (0, 0) if no error is left to click
        if percent:
            offset = _draw_in_disk(given, percent)
        else:
            offset = np.rint(given.rng.normal(0, sigma, 2))
        size = np.subtract(given.truth.shape, 1)
        row, col = np.clip(np.add(start[:2], offset), 0, size).astype(int).tolist()
        moved = Click(row, col, bool(given.truth[row, col]))
        return moved if _is_wrong(given, moved) else Proposal((moved,), mark=MISSED)

    return click


def _draw_in_disk(given: ClickInput, percent: float) -> NDArray[np.float64]:
    """Return a movement in rows and columns."""
    radius = math.sqrt(np.count_nonzero(given.mask) / math.pi) * percent / 100
    angle, share = given.rng.random(2)
    distance = share * max(_LEAST_RADIUS, radius)
    direction = np.array([math.sin(2 * math.pi * angle), math.cos(2 * math.pi * angle)])
    movement: NDArray[np.float64] = np.rint(distance * direction)
    return movement


def _is_wrong(given: ClickInput, click: Click) -> bool:
    """Return whether a click is on an error."""
    at = click.row, click.col
    return bool(given.mask[at] != given.truth[at] and not given.ignore[at])


def drop_unused(parameters: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
    """Return the parameters with a sigma of 0 if a percentage takes its place."""
    return {**parameters, "sigma": 0.0} if parameters["percent"] else parameters


card = Clicker(
    name="jitter",
    make=make_jitter,
    parameters={"sigma": 2.0, "first": False, "percent": 0.0},
    summary="the centre moved by a normal number of pixels, or by up to a percentage of the mask's "
    "radius, as in jitter:10%; the sign is that of the pixel it lands on",
    source="DGC, github.com/whiteseu/dgc-interactive-segmentation",
    stochastic=True,
    normalise=drop_unused,
)
