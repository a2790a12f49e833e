"""The crop of FocusCut's pass over the whole object. Masks and boxes in, boxes out."""

from __future__ import annotations

from collections.abc import Sequence

from isbench.nn.inference.zoom_in import Box, bounding_box, box_iou
from isbench.types import Click, Mask

_MARGIN = 0.2  # on each side, relative to the shorter side of the object's box
_KEEP_IOU = 0.5  # the last crop is kept while its IoU with the new one is at least this


def choose_crop(previous: Mask, clicks: Sequence[Click], last: Box | None) -> Box:
    """Return the crop for the previous mask, the whole image if that is empty.

    The last crop is kept while it contains every positive click and overlaps the new one enough.
    """
    crop = _enclose(previous, clicks)
    if last is None or not all(_contains(last, click) for click in clicks if click.positive):
        return crop
    return last if not previous.any() or box_iou(crop, last) >= _KEEP_IOU else crop


def _enclose(previous: Mask, clicks: Sequence[Click]) -> Box:
    """Return a square around mask and positive clicks, cut to the image where it is longer."""
    rows, cols = previous.shape
    if not previous.any():
        return Box(0, rows - 1, 0, cols - 1)
    box = bounding_box(previous, clicks)
    shorter, longer = sorted((box.height, box.width))
    wanted = max(longer + int(shorter * _MARGIN * 2), min(rows, cols) // 2)
    return Box(
        *_place(box.top, box.height, wanted, rows), *_place(box.left, box.width, wanted, cols)
    )


def _place(start: int, length: int, wanted: int, available: int) -> tuple[int, int]:
    """Return the first and last pixel of a crop about an object, in one direction.

    The crop contains the object and stays in the image. Where the image is shorter than the crop
    is wanted, it is the whole image.
    """
    size = min(wanted, available)
    end = start + length
    first = start + length // 2 + 1 - size // 2
    first = min(max(first, 0, end - size), available - size, start)
    return first, first + size - 1


def _contains(box: Box, click: Click) -> bool:
    return box.top <= click.row <= box.bottom and box.left <= click.col <= box.right
