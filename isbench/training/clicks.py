"""Click sampling for training: a set of first clicks on an object, then one click per error.

Arrays in, arrays out; randomness comes from a generator that is passed in. Points are (2K, 3)
float32 as in `isbench.nn.clickmaps`: K positive places, then K negative ones, unused ones -1. First
clicks fill a half from its start, later ones from its end, overwriting what is there [RITM,
arXiv:2102.06583]. The differences from RITM's click sampling are listed in docs/training.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.training.recipe import ClickSampling
from isbench.types import Mask

Points = NDArray[np.float32]
UNORDERED, FIRST = 100.0, 0.0  # order of the first clicks, and of a single centred one
_KEPT = 10  # an eroded object must have more pixels than this
_EROSIONS = 3
_RING = 0.1  # width of the ring around an object, relative to the square root of its area
_CROSS = np.ones((3, 3), np.uint8)


class ObjectMasks(NamedTuple):
    """The object and its surroundings in a view; all arrays (H, W)."""

    target: NDArray[np.int8]  # 1 object, 0 background, -1 ignored
    others: Mask  # other objects of the image
    parts: tuple[Mask, ...]  # the objects that the target was merged from, usually one


def draw_first_clicks(
    masks: ObjectMasks, sampling: ClickSampling, rng: np.random.Generator
) -> Points:
    """Draw the clicks that a sample starts with.

    With probability `single` this is one positive click. Otherwise there are k = 1, 2, ... positive
    clicks with probability proportional to decay^k, at least one per part, and k = 0, 1, ...
    negative ones likewise. A view without an object has no positive click. With probability
    `centred` the first positive click lies deep inside and has order 0; all others have order 100.
    """
    inside = [part for part in masks.parts if part.any()]
    single = rng.random() < sampling.single
    deep = bool(inside) and rng.random() < sampling.centred
    positive = [_draw(find_inner(masks.target == 1, sampling.centre_depth), rng)] if deep else []
    if inside:
        count = 1 if single else _count(sampling, rng, least=1)
        positive += draw_positives(inside[:1] if single else inside, count - deep, sampling, rng)
    count = 0 if single and inside else _count(sampling, rng, least=0)
    points = np.full((2 * sampling.places, 3), -1, np.float32)
    _fill_half(points[: sampling.places], positive)
    _fill_half(points[sampling.places :], draw_negatives(masks, count, sampling, rng))
    if deep:
        points[0, 2] = FIRST
    return points


def draw_positives(
    parts: Sequence[Mask], count: int, sampling: ClickSampling, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Draw `count` pixels of the parts, or one per part if there are more parts.

    With probability `eroded` a part is first eroded by three pixels, if more than ten remain.
    """
    regions = [_erode(part, rng.random() < sampling.eroded) for part in parts]
    clicks = [_draw(part, rng) for part in regions] if len(regions) > 1 else []
    if len(clicks) < count:
        union = np.logical_or.reduce(regions)
        clicks += _draw_several(union, count - len(clicks), rng)
    return clicks


def draw_negatives(
    masks: ObjectMasks, count: int, sampling: ClickSampling, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Draw up to `count` background pixels: from anywhere, other objects, or the surrounding ring.

    Without other objects, or with an empty ring, those clicks are drawn from anywhere as well.
    """
    if not count:
        return []
    background = masks.target == 0
    if not background.any():
        return []
    weights = np.array([sampling.background, sampling.others, sampling.ring])
    in_background, in_others, in_ring = rng.multinomial(count, weights / weights.sum())
    clicks = _draw_several(background, int(in_background), rng)
    others = masks.others & background
    clicks += _draw_several(others if others.any() else background, int(in_others), rng)
    if in_ring:
        ring = find_ring(masks.target) & background
        clicks += _draw_several(ring if ring.any() else background, int(in_ring), rng)
    return clicks


def find_ring(target: NDArray[np.int8]) -> Mask:
    """Return the (H, W) ring around the object, a tenth of the square root of its area wide."""
    mask = (target == 1).view(np.uint8)
    steps = ceil(_RING * sqrt(int(np.count_nonzero(mask))))
    wide = cv2.dilate(mask, np.ones((2 * steps + 1, 2 * steps + 1), np.uint8))
    return np.asarray(wide > mask)


def find_inner(mask: Mask, depth: float) -> Mask:
    """Return the pixels deeper inside than the largest depth over `depth`, at least the deepest.

    Depth is OpenCV's distance (mask 5) to the outside of the mask or of the image.
    """
    depths = _compute_depths(mask)
    deepest = depths.max()
    # not `deepest - 1e-6`, which single precision rounds to `deepest` from 32 on
    return np.asarray(depths > min(deepest / depth, np.nextafter(deepest, np.float32(0))))


def draw_next_click(
    probability: NDArray[np.float32],
    target: NDArray[np.int8],
    sampling: ClickSampling,
    rng: np.random.Generator,
) -> tuple[int, int, bool] | None:
    """Draw (row, col, positive) inside the deeper of both errors, None if there is no error.

    The pixel is drawn from those deeper than the largest depth divided by `depth`. If both errors
    are equally deep, the click is negative, as with the evaluation's `centre` clicker.
    """
    missing = (target == 1) & (probability < sampling.threshold)
    false = (target == 0) & (probability > sampling.threshold)
    deep_missing, deep_false = _compute_depths(missing), _compute_depths(false)
    positive = bool(deep_missing.max() > deep_false.max())
    depths = deep_missing if positive else deep_false
    peak = depths.max()
    if not peak:
        return None
    row, col = _draw(depths > min(peak / sampling.depth, peak - 1e-6), rng)
    return row, col, positive


def with_click(points: Points, click: tuple[int, int, bool] | None, number: int) -> Points:
    """Return the points with the `number`-th later click, counted from 1, added."""
    updated: Points = points.copy()
    if click is not None:
        row, col, positive = click
        half = len(points) // 2
        updated[(half if positive else 2 * half) - number] = row, col, number
    return updated


def make_points(click: tuple[int, int, bool], places: int) -> Points:
    """Return the points of a single later click, with `places` places of each sign."""
    return with_click(np.full((2 * places, 3), -1, np.float32), click, number=1)


def trim_points(points: Points) -> Points:
    """Return (B, 2K', 3) points without the places that no sample of the batch uses.

    K' is at least 1 and the same for both signs. Networks draw a disk for every place, used or not,
    so this saves most of that time.
    """
    halves = points.reshape(len(points), 2, -1, 3)
    used = (halves[..., :2].max(axis=3) >= 0).any(axis=(0, 1))
    used[0] |= not used.any()
    return np.asarray(halves[:, :, used].reshape(len(points), -1, 3), np.float32)


def _count(sampling: ClickSampling, rng: np.random.Generator, least: int) -> int:
    """Draw a number from `least` to `places`, each `decay` times as likely as the one before."""
    numbers = np.arange(least, sampling.places + 1)
    weights = sampling.decay ** (numbers - least)
    return int(rng.choice(numbers, p=weights / weights.sum()))


def _erode(part: Mask, wanted: bool) -> Mask:
    if not wanted:
        return part
    eroded = cv2.erode(part.view(np.uint8), _CROSS, iterations=_EROSIONS, borderValue=0)
    return eroded.view(np.bool_) if np.count_nonzero(eroded) > _KEPT else part


def _draw(mask: Mask, rng: np.random.Generator) -> tuple[int, int]:
    return _draw_several(mask, 1, rng)[0]


def _draw_several(mask: Mask, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Draw `count` pixels of a non-empty mask, uniformly and with replacement."""
    if not count:
        return []
    places = np.flatnonzero(mask)
    chosen = places[rng.integers(len(places), size=count)]
    return [(int(place) // mask.shape[1], int(place) % mask.shape[1]) for place in chosen]


def _fill_half(half: Points, clicks: Sequence[tuple[int, int]]) -> None:
    for place, (row, col) in zip(half, clicks, strict=False):
        place[:] = row, col, UNORDERED


def _compute_depths(mask: Mask) -> NDArray[np.float32]:
    padded = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    depths = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(depths, np.float32)[1:-1, 1:-1]
