"""FocusCut's focus views: which click needs one, how far it reaches, and patches around clicks.

Arrays in, arrays out. Not here: the passes of the network (`predictor`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from baselines.regions import keep_regions
from baselines.views import Map
from isbench.types import Click, Mask

T = TypeVar("T", bound=np.generic)
FIRST_SCALE = 1.75  # of every point at every click
_LEAST_RADIUS = 5  # pixels; a patch that reaches no further is left out
_LEAST_SCALE = 0.2
_SMALL = 0.2  # largest area of a change that a focus view corrects, relative to the object's
_GROWTH = 1.1  # of a patch beyond what changed in it
_DEPTH, _DEPTH_SIDE = 2, 384  # least depth of a change that counts, in a view of 384 pixels


class FocusPoint(NamedTuple):
    """A click that is looked at closely from then on."""

    row: int
    col: int
    radius: int  # pixels

    def reach(self, scale: float) -> int:
        """Return how many pixels of a patch lie on each side of the point, 0 for no patch."""
        reach = int(self.radius * scale)
        return reach if reach > _LEAST_RADIUS else 0


class Choice(NamedTuple):
    """What a click asks for: the radius of its error, and whether a focus view may correct it."""

    radius: int
    use: bool


def choose_focus(click: Click, last: Mask, found: Mask) -> Choice:
    """Return the choice for a click that changed the last mask into the one found.

    If its pixel changed, the error was the region that changed there; a focus view is used if this
    is small. Otherwise the error is assumed to reach to the nearest pixel of the other kind.
    Distances are those of a chessboard, and the radius is at least 5.
    """
    place, changed = (click.row, click.col), last != found
    if changed[place]:
        region = keep_regions(changed, [place])
        use = bool(np.count_nonzero(region) < _SMALL * np.count_nonzero(found))
        radius = _measure_steps(region, place).max()
    else:
        steps = _measure_steps(last != last[place], place)
        radius, use = steps.min() if len(steps) else 0, True
    return Choice(max(int(radius), _LEAST_RADIUS), use)


def _measure_steps(mask: Mask, place: tuple[int, int]) -> NDArray[np.int64]:
    """Return the chessboard distance of each true pixel to a place."""
    rows, cols = np.nonzero(mask)
    return np.maximum(np.abs(rows - place[0]), np.abs(cols - place[1]))


def rescale(scale: float, before: Mask, after: Mask) -> float | None:
    """Return the scale of a point's next patch, from what changed in its (S, S) view.

    None if nothing changed but thin lines.
    """
    side = len(before)
    changed = (before != after).view(np.uint8)
    depth = cv2.distanceTransform(changed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    deep = depth >= _DEPTH * side / _DEPTH_SIDE
    if not deep.any():
        return None
    ratio = _GROWTH * int(_measure_steps(deep, (side // 2, side // 2)).max()) / (side // 2)
    return max(scale * ratio, _LEAST_SCALE)


class Patch(NamedTuple):
    """A square around a point, of 2 * reach + 1 pixels a side; it may overlap the image's edge."""

    row: int
    col: int
    reach: int

    @property
    def side(self) -> int:
        """Return the number of rows and of columns."""
        return 2 * self.reach + 1

    def cut(self, x: NDArray[T]) -> NDArray[T]:
        """Return the patch of an (H, W) or (H, W, C) array, zero outside the image."""
        patch = np.zeros((self.side, self.side, *x.shape[2:]), x.dtype)
        inside, place = self._overlap(x.shape)
        patch[inside] = x[place]
        return patch

    def paste(self, values: Map, total: Map, count: Map) -> None:
        """Add the patch's values to an (H, W) map, and 1 to another one where they lie."""
        inside, place = self._overlap(total.shape)
        total[place] += values[inside]
        count[place] += 1

    def select(self, clicks: Sequence[Click]) -> list[Click]:
        """Return the clicks in the patch, in its coordinates."""
        top, left = self.row - self.reach, self.col - self.reach
        moved = [Click(row - top, col - left, positive) for row, col, positive in clicks]
        return [one for one in moved if 0 <= one.row < self.side and 0 <= one.col < self.side]

    def _overlap(self, shape: Sequence[int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return where patch and image overlap, in the patch and in the image."""
        pairs = [
            _overlap(centre - self.reach, self.side, length)
            for centre, length in zip((self.row, self.col), shape, strict=False)
        ]
        return (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1])


def _overlap(start: int, side: int, length: int) -> tuple[slice, slice]:
    first, end = max(0, start), min(start + side, length)
    return slice(first - start, end - start), slice(first, end)
