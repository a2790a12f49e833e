"""Clicks for training: a first lot of them on an object, then one at a time on what is wrong.

Arrays in, arrays out; randomness is a generator that is passed in. Points are (2K, 3) float32
as in `isbench.nn.clickmaps`: K positive places, then K negative ones, unused ones -1; first clicks
fill a half from its start, later ones from its end, over what is there [RITM, arXiv:2102.06583].
What differs from RITM's clicks is listed in docs/training.md.
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
UNORDERED, FIRST = 100.0, 0.0  # the order of clicks of a first lot, and of a first one alone
_KEPT = 10  # pixels that an eroded object must have more than
_EROSIONS = 3
_RING = 0.1  # width of the ring around an object, in the root of its area
_CROSS = np.ones((3, 3), np.uint8)


class Scene(NamedTuple):
    """What a view shows; all (H, W)."""

    target: NDArray[np.int8]  # 1 object, 0 background, -1 neither
    others: Mask  # other objects of the image
    parts: tuple[Mask, ...]  # the objects that the target was merged from; one alone has one


def draw_first_clicks(scene: Scene, sampling: ClickSampling, rng: np.random.Generator) -> Points:
    """Return the clicks that a sample starts with.

    With chance `single` that is one positive click; else there are k = 1, 2, ... positive ones with
    chances that go as decay^k, at least one a part, and k = 0, 1, ... negative ones likewise. A
    scene without object has no positive click. A first click deep inside has order 0, others 100.
    """
    inside = [part for part in scene.parts if part.any()]
    single = rng.random() < sampling.single
    deep = bool(inside) and rng.random() < sampling.centred
    positive = [_draw(find_inner(scene.target == 1, sampling.centre_depth), rng)] if deep else []
    if inside:
        count = 1 if single else _count(sampling, rng, least=1)
        positive += draw_positives(inside[:1] if single else inside, count - deep, sampling, rng)
    count = 0 if single and inside else _count(sampling, rng, least=0)
    points = np.full((2 * sampling.places, 3), -1, np.float32)
    _put(points[: sampling.places], positive)
    _put(points[sampling.places :], draw_negatives(scene, count, sampling, rng))
    if deep:
        points[0, 2] = FIRST
    return points


def draw_positives(
    parts: Sequence[Mask], count: int, sampling: ClickSampling, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Return `count` pixels of the parts, or one a part if there are more parts.

    With chance `eroded` a part is worn off by three pixels first, if more than ten pixels remain.
    """
    chosen = [_erode(part, rng.random() < sampling.eroded) for part in parts]
    found = [_draw(part, rng) for part in chosen] if len(chosen) > 1 else []
    if len(found) < count:
        whole = np.logical_or.reduce(chosen)
        found += _draw_several(whole, count - len(found), rng)
    return found


def draw_negatives(
    scene: Scene, count: int, sampling: ClickSampling, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Return up to `count` background pixels: of anywhere, of other objects, of the near ring.

    Other objects stand for anywhere where there are none, and so does an empty ring.
    """
    if not count:
        return []
    background = scene.target == 0
    if not background.any():
        return []
    weights = np.array([sampling.background, sampling.others, sampling.ring])
    anywhere, other, near = rng.multinomial(count, weights / weights.sum())
    found = _draw_several(background, int(anywhere), rng)
    others = scene.others & background
    found += _draw_several(others if others.any() else background, int(other), rng)
    if near:
        around = find_ring(scene.target) & background
        found += _draw_several(around if around.any() else background, int(near), rng)
    return found


def find_ring(target: NDArray[np.int8]) -> Mask:
    """Return the (H, W) pixels near the object: a tenth of the root of its area wide."""
    mask = (target == 1).view(np.uint8)
    steps = ceil(_RING * sqrt(int(np.count_nonzero(mask))))
    wide = cv2.dilate(mask, np.ones((2 * steps + 1, 2 * steps + 1), np.uint8))
    return np.asarray(wide > mask)


def find_inner(mask: Mask, depth: float) -> Mask:
    """Return the pixels deeper inside than the deepest one by the divisor `depth`, or the deepest.

    Depth is OpenCV's distance (mask 5) to what is outside, the image's border included.
    """
    deep = _depths(mask)
    return np.asarray(deep > min(deep.max() / depth, deep.max() - 1e-6))


def draw_next_click(
    probability: NDArray[np.float32],
    target: NDArray[np.int8],
    sampling: ClickSampling,
    rng: np.random.Generator,
) -> tuple[int, int, bool] | None:
    """Return (row, col, positive) inside the deeper of both errors, None where nothing is wrong.

    The pixel is any whose depth exceeds the deepest one's divided by `depth`; equal depths make a
    negative click, as the evaluation's robot has it.
    """
    missing = (target == 1) & (probability < sampling.threshold)
    false = (target == 0) & (probability > sampling.threshold)
    deep_missing, deep_false = _depths(missing), _depths(false)
    positive = bool(deep_missing.max() > deep_false.max())
    depths = deep_missing if positive else deep_false
    peak = depths.max()
    if not peak:
        return None
    row, col = _draw(depths > min(peak / sampling.depth, peak - 1e-6), rng)
    return row, col, positive


def with_click(points: Points, click: tuple[int, int, bool] | None, number: int) -> Points:
    """Return the points with the `number`-th later click, counted from 1, in its place."""
    changed: Points = points.copy()
    if click is not None:
        row, col, positive = click
        half = len(points) // 2
        changed[(half if positive else 2 * half) - number] = row, col, number
    return changed


def trim_points(points: Points) -> Points:
    """Return (B, 2K', 3) points without the places that no sample of the batch uses.

    Networks draw every place, so that this saves most of the time it takes; K' is 1 or more, and
    the same for both signs.
    """
    halves = points.reshape(len(points), 2, -1, 3)
    used = (halves[..., :2].max(axis=3) >= 0).any(axis=(0, 1))
    used[0] |= not used.any()
    return np.asarray(halves[:, :, used].reshape(len(points), -1, 3), np.float32)


def _count(sampling: ClickSampling, rng: np.random.Generator, least: int) -> int:
    """Return a number from `least` to `places`, each `decay` times as likely as the one before."""
    numbers = np.arange(least, sampling.places + 1)
    weights = sampling.decay ** (numbers - least)
    return int(rng.choice(numbers, p=weights / weights.sum()))


def _erode(part: Mask, wanted: bool) -> Mask:
    if not wanted:
        return part
    worn = cv2.erode(part.view(np.uint8), _CROSS, iterations=_EROSIONS, borderValue=0)
    return worn.view(np.bool_) if np.count_nonzero(worn) > _KEPT else part


def _draw(mask: Mask, rng: np.random.Generator) -> tuple[int, int]:
    return _draw_several(mask, 1, rng)[0]


def _draw_several(mask: Mask, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return `count` pixels of a mask that has one, drawn with equal chances and put back."""
    if not count:
        return []
    places = np.flatnonzero(mask)
    chosen = places[rng.integers(len(places), size=count)]
    return [(int(place) // mask.shape[1], int(place) % mask.shape[1]) for place in chosen]


def _put(half: Points, found: Sequence[tuple[int, int]]) -> None:
    for place, (row, col) in zip(half, found, strict=False):
        place[:] = row, col, UNORDERED


def _depths(mask: Mask) -> NDArray[np.float32]:
    padded = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    deep = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(deep, np.float32)[1:-1, 1:-1]
