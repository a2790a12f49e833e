"""The focus crop of FocalClick as geometry: masks, a click and a box in, a box out. No torch.

As in the published code, also where it looks odd: a click that changed nothing selects all
unchanged pixels, a mask of a few pixels counts as the whole image, and edges are truncated.
Differs: a crop has at least one row and one column, where the published code would fail.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from isbench.nn.inference.zoom_in import Box
from isbench.types import Click, Mask

_LEAST_PIXELS = 10  # a smaller mask has the box of the whole image
_SMALL = 3  # a change is small if its box is less than this fraction of the object's
_WINDOW = 0.2  # half the side of the window around a small change, relative to the object's box
_RATIO = 1.4  # size of the crop relative to the box


class _Edges(NamedTuple):
    """The first and last rows and columns of a box; fractional for a window around a click."""

    top: float
    bottom: float
    left: float
    right: float


def find_focus(found: Mask, previous: Mask, click: Click, target: Box) -> Box:
    """Return the part of the target crop that is refined after a click.

    It surrounds the object that was `found`, or, if there was a `previous` one, what the click
    changed.
    """
    edges = _find_edges(found)
    if previous.any():
        edges = _find_changed_edges(found ^ previous, edges, click)
    top, bottom = _expand(edges.top, edges.bottom, target.top, target.bottom)
    left, right = _expand(edges.left, edges.right, target.left, target.right)
    return Box(top, bottom, left, right)


def find_component(mask: Mask, click: Click) -> Mask:
    """Return the 8-connected component that contains the click.

    If the click is off the mask, it is all that is off the mask, connected or not.
    """
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    component: Mask = labels == labels[click.row, click.col]
    return component


def _find_changed_edges(changed: Mask, of_object: _Edges, click: Click) -> _Edges:
    """Return the edges of the clicked change, or those of a window if it is small."""
    edges = _find_edges(find_component(changed, click))
    height, width = of_object.bottom - of_object.top, of_object.right - of_object.left
    low = edges.bottom - edges.top < height / _SMALL
    if low or edges.right - edges.left < width / _SMALL:
        reach = _WINDOW * max(height, width)
        return _Edges(click.row - reach, click.row + reach, click.col - reach, click.col + reach)
    return edges


def _find_edges(mask: Mask) -> _Edges:
    """Return the first and last row and column; beyond the last ones for a mask of a few pixels."""
    if np.count_nonzero(mask) < _LEAST_PIXELS:
        return _Edges(0, mask.shape[0], 0, mask.shape[1])
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return _Edges(*map(float, (rows[0], rows[-1], cols[0], cols[-1])))


def _expand(first: float, last: float, lowest: int, highest: int) -> tuple[int, int]:
    """Return the first and last place of an interval that is enlarged, truncated and clipped."""
    centre, length = (first + last) / 2, _RATIO * (last - first + 1)
    start, stop = int(centre - length / 2), int(centre + length / 2)  # the end is excluded
    start = min(max(start, lowest), highest)
    return start, max(min(stop - 1, highest), start)
