"""The view of an image that a sample shows: an affine map from view pixels to image pixels.

Pure geometry, in (row, col); only `warp` converts to OpenCV's (x, y).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.nn.inference.zoom_in import Box
from isbench.training.recipe import Augmentation, Range

LARGEST = 2.5  # most view pixels per image pixel, except for plain crops
_LARGEST_OFFSET = 0.9  # how far the object may be from a crop's centre; 1 is the crop's edge


class View(NamedTuple):
    """A part of an image; `matrix` (2, 3) maps (row, col, 1) of the view to the image."""

    matrix: NDArray[np.float64]
    size: tuple[int, int]  # rows and columns of the view
    scale: float  # view pixels per image pixel


class Orientation(NamedTuple):
    """The rotation, flips and stretch of a view relative to its image."""

    degrees: float
    quarter_turns: int
    flip_horizontal: bool
    flip_vertical: bool
    stretch: float  # rows are longer by this factor, columns shorter by it


def draw_orientation(recipe: Augmentation, rng: np.random.Generator) -> Orientation:
    """Draw a random rotation, flips and stretch."""
    rotate, quarter = rng.random(2) < (recipe.rotate, recipe.quarter_turns)
    flip_horizontal, flip_vertical = rng.random(2) < (recipe.flip_horizontal, recipe.flip_vertical)
    return Orientation(
        degrees=float(rng.uniform(-recipe.rotation, recipe.rotation)) if rotate else 0.0,
        quarter_turns=int(rng.integers(1, 4)) if quarter else 0,
        flip_horizontal=bool(flip_horizontal),
        flip_vertical=bool(flip_vertical),
        stretch=math.exp(rng.uniform(-recipe.stretch, recipe.stretch) / 2),
    )


def view_whole(
    shape: tuple[int, int], size: tuple[int, int], recipe: Augmentation, rng: np.random.Generator
) -> View:
    """Return a view of the whole image, fitted into `size` or up to exp(`jitter`) times larger."""
    orientation = draw_orientation(recipe, rng)
    scale = min(
        LARGEST, _fit_scale(shape, size, orientation) * math.exp(rng.uniform(0, recipe.jitter))
    )
    return make_view(((shape[0] - 1) / 2, (shape[1] - 1) / 2), scale, orientation, size)


def view_around(
    box: Box,
    shape: tuple[int, int],
    size: tuple[int, int],
    recipe: Augmentation,
    rng: np.random.Generator,
) -> View:
    """Return a view of a box enlarged by a random `margin`, the box at a random place inside it."""
    orientation, margin = draw_orientation(recipe, rng), _log_uniform(recipe.margin, rng)
    sides = box.height, box.width
    scale = _fit_scale((margin * sides[0], margin * sides[1]), size, orientation)
    scale = min(LARGEST, max(scale, _fit_scale(shape, size, orientation)))
    window = _choose_window_size(size, scale, orientation)
    slack = [(w - side) / 2 for w, side in zip(window, sides, strict=True)]
    middle = (box.top + box.bottom) / 2, (box.left + box.right) / 2
    centre = [m + rng.uniform(-1, 1) * max(0, s) for m, s in zip(middle, slack, strict=True)]
    return make_view(_clamp_centre((centre[0], centre[1]), window, shape), scale, orientation, size)


def view_crop(
    place: tuple[int, int],
    shape: tuple[int, int],
    size: tuple[int, int],
    recipe: Augmentation,
    rng: np.random.Generator,
) -> View:
    """Return a crop at a random `scale` that contains the pixel `place`.

    The scale is at least that of the whole image fitted into `size`; a smaller one would only add
    empty space.
    """
    orientation = draw_orientation(recipe, rng)
    scale = max(_log_uniform(recipe.scale, rng), _fit_scale(shape, size, orientation))
    window = _choose_window_size(size, scale, orientation)
    offset = rng.uniform(-_LARGEST_OFFSET / 2, _LARGEST_OFFSET / 2, size=2)
    centre = place[0] + offset[0] * window[0], place[1] + offset[1] * window[1]
    return make_view(_clamp_centre(centre, window, shape), scale, orientation, size)


def view_square(
    centre: tuple[float, float],
    reach: float,
    size: tuple[int, int],
    recipe: Augmentation,
    rng: np.random.Generator,
) -> View:
    """Return a view whose shorter side shows `reach` image pixels on each side of a place."""
    return make_view(centre, min(size) / (2 * reach), draw_orientation(recipe, rng), size)


def make_view(
    centre: tuple[float, float], scale: float, orientation: Orientation, size: tuple[int, int]
) -> View:
    """Return the view centred on the image's pixel `centre`."""
    angle = math.radians(orientation.degrees) + orientation.quarter_turns * math.pi / 2
    cosine, sine = math.cos(angle), math.sin(angle)
    rows = (-1 if orientation.flip_vertical else 1) / (scale * orientation.stretch)
    cols = (-1 if orientation.flip_horizontal else 1) * orientation.stretch / scale
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([rows, cols])
    middle = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2])
    matrix = np.column_stack([linear, np.array(centre) - linear @ middle])
    return View(matrix, size, scale)


def warp(pixels: NDArray[np.uint8], view: View, outside: tuple[int, ...]) -> NDArray[np.uint8]:
    """Resample (H, W) or (H, W, 3) pixels to a view, bilinearly; `outside` fills the rest.

    A view that shrinks the image by 2 or more is resampled after averaging over areas.
    """
    matrix = view.matrix
    step = int(1 / view.scale)
    if step >= 2:
        rows, cols = (max(1, side // step) for side in pixels.shape[:2])
        matrix = matrix.copy()
        for axis, (few, many) in enumerate(zip((rows, cols), pixels.shape[:2], strict=True)):
            matrix[axis] *= few / many
            matrix[axis, 2] += (few / many - 1) / 2  # pixel centres are at integers
        pixels = np.asarray(
            cv2.resize(pixels, (cols, rows), interpolation=cv2.INTER_AREA), np.uint8
        )
    swapped = matrix[::-1][:, [1, 0, 2]]  # (row, col) to OpenCV's (x, y)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = view.size[1], view.size[0]
    warped = cv2.warpAffine(pixels, swapped, size, flags=flags, borderValue=outside)
    return np.asarray(warped, np.uint8)


def leaves_image(view: View, shape: tuple[int, int]) -> bool:
    """Return whether the view shows anything outside an image of `shape`."""
    rows, cols = view.size[0] - 1, view.size[1] - 1
    corners = np.array([[0, 0, rows, rows], [0, cols, 0, cols], [1, 1, 1, 1]])
    corners_in_image = view.matrix @ corners
    return bool(
        (corners_in_image < 0).any() or (corners_in_image > np.array(shape)[:, None] - 1).any()
    )


def _fit_scale(
    sides: tuple[float, float], size: tuple[int, int], orientation: Orientation
) -> float:
    """Return the largest scale at which `sides` of the image fit into a view without rotation."""
    rows, cols = sides[::-1] if orientation.quarter_turns % 2 else sides
    return min(size[0] / rows / orientation.stretch, size[1] / cols * orientation.stretch)


def _choose_window_size(
    size: tuple[int, int], scale: float, orientation: Orientation
) -> tuple[float, float]:
    """Return the rows and columns of the image that a view shows, without its rotation."""
    rows, cols = size[0] / scale / orientation.stretch, size[1] / scale * orientation.stretch
    return (cols, rows) if orientation.quarter_turns % 2 else (rows, cols)


def _clamp_centre(
    centre: tuple[float, float], window: tuple[float, float], shape: tuple[int, int]
) -> tuple[float, float]:
    """Move the centre so that the window lies inside the image, or is centred on a smaller one."""
    row, col = (
        (side - 1) / 2
        if side <= extent
        else min(max(at, (extent - 1) / 2), side - (extent + 1) / 2)
        for at, extent, side in zip(centre, window, shape, strict=True)
    )
    return row, col


def _log_uniform(bounds: Range, rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(math.log(bounds.low), math.log(bounds.high)))
