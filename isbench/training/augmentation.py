"""Which part of an image a sample shows: an affine map from the view's pixels to the image's.

Pure geometry, in (row, col); `warped` is where it meets OpenCV's (x, y).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.nn.inference.zoom_in import Box
from isbench.training.recipe import Augmentation, Range

LARGEST = 2.5  # pixels of a view to a pixel of the image, at most, but for plain crops
_ROAMING = 0.9  # how far from the middle of a crop the object may be, 1 being its edge


class View(NamedTuple):
    """A part of an image; `matrix` (2, 3) takes (row, col, 1) of the view to the image."""

    matrix: NDArray[np.float64]
    size: tuple[int, int]  # rows and columns of the view
    scale: float  # pixels of the view to a pixel of the image


class Turn(NamedTuple):
    """How a view is turned against its image."""

    degrees: float
    quarter_turns: int
    flip_horizontal: bool
    flip_vertical: bool
    stretch: float  # rows are this much longer, and columns this much shorter


def draw_turn(recipe: Augmentation, rng: np.random.Generator) -> Turn:
    """Draw how a view is turned."""
    turned, quartered = rng.random(2) < (recipe.rotate, recipe.quarter_turns)
    mirrored, upended = rng.random(2) < (recipe.flip_horizontal, recipe.flip_vertical)
    return Turn(
        degrees=float(rng.uniform(-recipe.rotation, recipe.rotation)) if turned else 0.0,
        quarter_turns=int(rng.integers(1, 4)) if quartered else 0,
        flip_horizontal=bool(mirrored),
        flip_vertical=bool(upended),
        stretch=math.exp(rng.uniform(-recipe.stretch, recipe.stretch) / 2),
    )


def view_whole(
    shape: tuple[int, int], size: tuple[int, int], recipe: Augmentation, rng: np.random.Generator
) -> View:
    """Return the view of an image of `shape` fitted into `size`, or up to `jitter` larger."""
    turned = draw_turn(recipe, rng)
    scale = min(LARGEST, _fitting(shape, size, turned) * math.exp(rng.uniform(0, recipe.jitter)))
    return make_view(((shape[0] - 1) / 2, (shape[1] - 1) / 2), scale, turned, size)


def view_around(
    box: Box,
    shape: tuple[int, int],
    size: tuple[int, int],
    recipe: Augmentation,
    rng: np.random.Generator,
) -> View:
    """Return a view of a box grown by a factor of `margin`, the box anywhere inside."""
    turned, margin = draw_turn(recipe, rng), _log_uniform(recipe.margin, rng)
    sides = box.height, box.width
    scale = _fitting((margin * sides[0], margin * sides[1]), size, turned)
    scale = min(LARGEST, max(scale, _fitting(shape, size, turned)))
    window = _window(size, scale, turned)
    slack = [(w - side) / 2 for w, side in zip(window, sides, strict=True)]
    middle = (box.top + box.bottom) / 2, (box.left + box.right) / 2
    centre = [m + rng.uniform(-1, 1) * max(0, s) for m, s in zip(middle, slack, strict=True)]
    return make_view(_within((centre[0], centre[1]), window, shape), scale, turned, size)


def view_crop(
    place: tuple[int, int],
    shape: tuple[int, int],
    size: tuple[int, int],
    recipe: Augmentation,
    rng: np.random.Generator,
) -> View:
    """Return a crop at a scale of `scale` that has the pixel `place` somewhere in it.

    It is never smaller than the whole image fitted into `size`: more would be emptiness.
    """
    turned = draw_turn(recipe, rng)
    scale = max(_log_uniform(recipe.scale, rng), _fitting(shape, size, turned))
    window = _window(size, scale, turned)
    offset = rng.uniform(-_ROAMING / 2, _ROAMING / 2, size=2)
    centre = place[0] + offset[0] * window[0], place[1] + offset[1] * window[1]
    return make_view(_within(centre, window, shape), scale, turned, size)


def make_view(
    centre: tuple[float, float], scale: float, turned: Turn, size: tuple[int, int]
) -> View:
    """Return the view with the image's pixel `centre` in its middle."""
    angle = math.radians(turned.degrees) + turned.quarter_turns * math.pi / 2
    cosine, sine = math.cos(angle), math.sin(angle)
    rows = (-1 if turned.flip_vertical else 1) / (scale * turned.stretch)
    cols = (-1 if turned.flip_horizontal else 1) * turned.stretch / scale
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([rows, cols])
    middle = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2])
    matrix = np.column_stack([linear, np.array(centre) - linear @ middle])
    return View(matrix, size, scale)


def warp(pixels: NDArray[np.uint8], seen: View, outside: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return what a view shows of (H, W) or (H, W, 3) pixels, bilinearly; `outside` fills the rest.

    Where a view makes pixels less than half as large, their means are taken first.
    """
    matrix = seen.matrix
    step = int(1 / seen.scale)
    if step >= 2:
        rows, cols = (max(1, side // step) for side in pixels.shape[:2])
        matrix = matrix.copy()
        for axis, (few, many) in enumerate(zip((rows, cols), pixels.shape[:2], strict=True)):
            matrix[axis] *= few / many
            matrix[axis, 2] += (few / many - 1) / 2  # pixel centres are at whole numbers
        pixels = np.asarray(
            cv2.resize(pixels, (cols, rows), interpolation=cv2.INTER_AREA), np.uint8
        )
    swapped = matrix[::-1][:, [1, 0, 2]]  # (row, col) to OpenCV's (x, y)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = seen.size[1], seen.size[0]
    found = cv2.warpAffine(pixels, swapped, size, flags=flags, borderValue=outside)
    return np.asarray(found, np.uint8)


def leaves_image(seen: View, shape: tuple[int, int]) -> bool:
    """Whether the view shows anything outside an image of `shape`."""
    rows, cols = seen.size[0] - 1, seen.size[1] - 1
    corners = np.array([[0, 0, rows, rows], [0, cols, 0, cols], [1, 1, 1, 1]])
    places = seen.matrix @ corners
    return bool((places < 0).any() or (places > np.array(shape)[:, None] - 1).any())


def _fitting(sides: tuple[float, float], size: tuple[int, int], turned: Turn) -> float:
    """Return the largest scale at which sides of the image fit into a view, the tilt left out."""
    rows, cols = sides[::-1] if turned.quarter_turns % 2 else sides
    return min(size[0] / rows / turned.stretch, size[1] / cols * turned.stretch)


def _window(size: tuple[int, int], scale: float, turned: Turn) -> tuple[float, float]:
    """Return rows and columns of the image that a view shows, the tilt left out."""
    rows, cols = size[0] / scale / turned.stretch, size[1] / scale * turned.stretch
    return (cols, rows) if turned.quarter_turns % 2 else (rows, cols)


def _within(
    centre: tuple[float, float], window: tuple[float, float], shape: tuple[int, int]
) -> tuple[float, float]:
    """Return the centre moved so that the window lies inside the image, or has it in its middle."""
    row, col = (
        (side - 1) / 2
        if side <= extent
        else min(max(at, (extent - 1) / 2), side - (extent + 1) / 2)
        for at, extent, side in zip(centre, window, shape, strict=True)
    )
    return row, col


def _log_uniform(bounds: Range, rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(math.log(bounds.low), math.log(bounds.high)))
