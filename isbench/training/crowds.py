"""Crowds: copies of the object, and of another one, in the cells of a grid; one is the target.

A network that mostly sees images of one salient object answers a click with everything that stands
out, and objects that look alike stand out together. In a crowd only the click says which is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.nn.inference.zoom_in import bounding_box
from isbench.types import Mask

LEAST_SIDE = 8  # pixels of an object's box; smaller ones make no crowd
_LEAST_CELL = 36  # pixels
_MOST_CELLS = 6  # along the shorter side
_FILL = (0.4, 1.0)  # how many of the cells have an object
_SIDE = (0.55, 1.0)  # an object's longer side relative to the cell's shorter one
_LIGHT = (0.85, 1.15)  # factor of an object's levels
_BLUR = 0.15  # standard deviation, relative to the image's shorter side
_HALF = 0.5


class Cutout(NamedTuple):
    """An object without its surroundings."""

    pixels: NDArray[np.uint8]  # (h, w, 3) RGB
    mask: Mask  # (h, w)


class Crowd(NamedTuple):
    """An image (H, W, 3) with the masks (H, W) of the wanted object and of all others pasted."""

    image: NDArray[np.uint8]
    target: Mask
    others: Mask


def cut_out(image: NDArray[np.uint8], mask: Mask) -> Cutout | None:
    """Return the object in its box, None if it is too small for a crowd."""
    if not mask.any():
        return None
    box = bounding_box(mask)
    part = (slice(box.top, box.bottom + 1), slice(box.left, box.right + 1))
    found = Cutout(image[part], mask[part])
    return found if min(found.mask.shape) >= LEAST_SIDE else None


def blur(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) without edges, its colours kept."""
    sigma = min(image.shape[:2]) * _BLUR
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def draw_crowd(
    background: NDArray[np.uint8], cutouts: Sequence[Cutout], rng: np.random.Generator
) -> Crowd:
    """Paste copies of the cut-outs onto an image; a copy of the first one is the target.

    Half of the crowds consist of copies of the first one only. Copies differ in size, direction and
    brightness and never overlap.
    """
    size = background.shape[:2]
    cell = min(size) // int(rng.integers(2, max(3, min(_MOST_CELLS, min(size) // _LEAST_CELL) + 1)))
    rows, cols = size[0] // cell, size[1] // cell
    wanted, fill = int(rng.integers(rows * cols)), rng.uniform(*_FILL)
    kinds = len(cutouts) if rng.random() < _HALF else 1
    image = background.copy()
    target, others = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    for number in range(rows * cols):
        if number != wanted and rng.random() >= fill:
            continue
        kind = 0 if number == wanted else int(rng.integers(kinds))
        pixels, soft = _draw_copy(cutouts[kind], cell, rng)
        slack = [cell - side for side in soft.shape]
        top, left = (
            at * cell + int(rng.integers(rest + 1))
            for at, rest in zip(divmod(number, cols), slack, strict=True)
        )
        place = (slice(top, top + soft.shape[0]), slice(left, left + soft.shape[1]))
        image[place] = np.rint(pixels * soft[:, :, None] + image[place] * (1 - soft[:, :, None]))
        (target if number == wanted else others)[place] |= soft > _HALF
    return Crowd(image, target, others)


def _draw_copy(
    cutout: Cutout, cell: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a copy's colours (h, w, 3) and opacity (h, w), fitted into a square cell."""
    height, width = cutout.mask.shape
    scale = rng.uniform(*_SIDE) * cell / max(height, width)
    size = (max(1, int(width * scale)), max(1, int(height * scale)))  # OpenCV's order
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    pixels = cv2.resize(cutout.pixels, size, interpolation=way)
    soft = cv2.resize(cutout.mask.astype(np.float32), size, interpolation=way)
    if rng.random() < _HALF:
        pixels, soft = pixels[:, ::-1], soft[:, ::-1]
    lit = np.clip(pixels * np.float32(rng.uniform(*_LIGHT)), 0, 255)
    return np.asarray(lit, np.float32), np.asarray(soft, np.float32)
