"""Zoom-in on the object as pure geometry: masks and boxes in, boxes out. No torch.

Sources: RITM (arXiv:2102.06583) and its forks; docs/models.md lists the settings of each system.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np

from isbench.types import Click, Mask


class Box(NamedTuple):
    """A rectangle of rows and columns, both ends included."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """Return the number of rows."""
        return self.bottom - self.top + 1

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return self.right - self.left + 1


class View(NamedTuple):
    """What a pass sees: a region of the image, resized."""

    region: Box
    size: tuple[int, int]  # rows and columns of the network's input


@dataclass(frozen=True)
class Zoom:
    """When and how far a system zooms in."""

    target: int = 400  # longer side of the crop as the network sees it, in pixels
    square: bool = False  # every pass sees a square of `target` pixels [RITM's fixed mode]
    after: int = 1  # the first clicks that see the whole image
    ratio: float = 1.4  # size of the crop relative to the object's box
    dynamic: bool = False  # a larger ratio for smaller objects [CSFPN's released code]
    least: int = 200  # fewest rows and columns of a crop, if the image has them
    keep_iou: float = 0.5  # the crop is kept while its IoU with the new one is at least this
    threshold: float = 0.50  # probability above which a pixel counts as object

    def box(self, object_mask: Mask, clicks: Sequence[Click], previous: Box | None) -> Box | None:
        """Return the crop for the next pass, None for the whole image at its own resolution.

        `object_mask` is where the last probabilities exceed `threshold`. The previous crop is kept
        while it contains every positive click and overlaps the new one enough. With `square` the
        whole image is a crop too: the new one where there is no object.
        """
        if len(clicks) > self.after and object_mask.any():
            new_box = self.expand(bounding_box(object_mask, clicks), object_mask.shape)
        elif self.square:
            new_box = Box(0, object_mask.shape[0] - 1, 0, object_mask.shape[1] - 1)
        else:
            return None
        if previous is None or not _holds(previous, clicks):
            return new_box
        return previous if box_iou(new_box, previous) >= self.keep_iou else new_box

    def expand(self, box: Box, shape: tuple[int, ...]) -> Box:
        """Return the box enlarged about its centre and clipped to an image of `shape`."""
        ratio = self.ratio
        if self.dynamic:
            share = (box.height - 1) * (box.width - 1) / (shape[0] * shape[1])
            ratio = max(2.5 - 4 * sqrt(share), ratio)
        top, bottom = _grow(box.top, box.bottom, ratio, self.least, shape[0])
        left, right = _grow(box.left, box.right, ratio, self.least, shape[1])
        return Box(top, bottom, left, right)

    def choose_size(self, box: Box) -> tuple[int, int]:
        """Return the rows and columns of the crop as the network sees it."""
        if self.square:
            return self.target, self.target
        scale = self.target / max(box.height, box.width)
        # a very elongated crop would round to 0
        return max(1, round(box.height * scale)), max(1, round(box.width * scale))


def bounding_box(mask: Mask, clicks: Sequence[Click] = ()) -> Box:
    """Return the smallest box around a mask's true pixels and the positive clicks."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    rows_to_cover = [
        int(rows[0]),
        int(rows[-1]),
        *(click.row for click in clicks if click.positive),
    ]
    cols_to_cover = [
        int(cols[0]),
        int(cols[-1]),
        *(click.col for click in clicks if click.positive),
    ]
    return Box(min(rows_to_cover), max(rows_to_cover), min(cols_to_cover), max(cols_to_cover))


def box_iou(one: Box, other: Box) -> float:
    """Return the product of the IoUs of the two boxes' rows and of their columns [RITM]."""
    rows = _interval_iou(one.top, one.bottom, other.top, other.bottom)
    return rows * _interval_iou(one.left, one.right, other.left, other.right)


def map_clicks(
    clicks: Sequence[Click], box: Box, size: tuple[int, int]
) -> list[tuple[float, float, bool]]:
    """Return the clicks in a crop resized to `size`; clicks outside the crop stay outside.

    The product comes first, as in the original: a pixel may lie exactly on the edge of a disk.
    """
    return [
        (
            size[0] * (click.row - box.top) / box.height,
            size[1] * (click.col - box.left) / box.width,
            click.positive,
        )
        for click in clicks
    ]


def _grow(first: int, last: int, ratio: float, least: int, length: int) -> tuple[int, int]:
    centre, half = (first + last) / 2, max(ratio * (last - first + 1), least) / 2
    return max(0, round(centre - half)), min(length - 1, round(centre + half))


def _holds(box: Box, clicks: Sequence[Click]) -> bool:
    """Return whether all positive clicks are inside, excluding the last row and column [RITM]."""
    return all(
        box.top <= click.row < box.bottom and box.left <= click.col < box.right
        for click in clicks
        if click.positive
    )


def _interval_iou(first: int, last: int, other_first: int, other_last: int) -> float:
    intersection = max(0, min(last, other_last) - max(first, other_first) + 1)
    return intersection / (max(last, other_last) - min(first, other_first) + 1)
