"""Laws of the clicks that a network is trained with."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from isbench.nn.clickmaps import draw_disks
from isbench.training.clicks import (
    FIRST,
    UNORDERED,
    ObjectMasks,
    draw_first_clicks,
    draw_negatives,
    draw_next_click,
    draw_positives,
    find_inner,
    find_ring,
    trim_points,
    with_click,
)
from isbench.training.recipe import ClickSampling

SAMPLING = ClickSampling()
SIZE = (40, 48)
seeds = st.integers(0, 2**16)
sampling = st.builds(
    ClickSampling,
    single=st.sampled_from([0.0, 0.5, 1.0]),
    centred=st.sampled_from([0.0, 0.5, 1.0]),
    eroded=st.sampled_from([0.0, 1.0]),
)


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def blob(rng: np.random.Generator) -> NDArray[np.bool_]:
    mask = np.zeros(SIZE, np.uint8)
    centre, axes = (int(rng.integers(48)), int(rng.integers(40))), (int(rng.integers(1, 20)), 6)
    cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, (1,), -1)
    return mask.view(np.bool_)


def make_masks(seed: int) -> ObjectMasks:
    """Return masks of one or two parts, others, and a strip that is neither."""
    rng = generator(seed)
    target = np.zeros(SIZE, np.int8)
    parts = tuple(blob(rng) for _ in range(1 + seed % 2))
    target[np.logical_or.reduce(parts)] = 1
    target[:, :4] = -1
    others = blob(rng) & (target == 0)
    return ObjectMasks(target, others, tuple(part & (target == 1) for part in parts))


def list_used(half: NDArray[np.float32]) -> list[tuple[int, int]]:
    return [(int(row), int(col)) for row, col, _ in half if max(row, col) >= 0]


@given(seeds, sampling)
def test_first_clicks_lie_on_what_they_say(seed: int, sampling: ClickSampling) -> None:
    masks = make_masks(seed)
    points = draw_first_clicks(masks, sampling, generator(seed))
    positive, negative = list_used(points[: sampling.places]), list_used(points[sampling.places :])
    assert points.shape == (2 * sampling.places, 3)
    assert all(masks.target[place] == 1 for place in positive)
    assert all(masks.target[place] == 0 for place in negative)
    assert bool(positive) == bool((masks.target == 1).any())


@given(seeds, sampling)
def test_first_clicks_fill_each_half_from_its_start(seed: int, sampling: ClickSampling) -> None:
    points = draw_first_clicks(make_masks(seed), sampling, generator(seed))
    for half in (points[: sampling.places], points[sampling.places :]):
        count = len(list_used(half))
        assert (half[count:] == -1).all()
        assert set(half[:count, 2].tolist()) <= {UNORDERED, FIRST}


@given(seeds)
def test_the_same_seed_gives_the_same_clicks(seed: int) -> None:
    masks = make_masks(seed)
    one, other = (draw_first_clicks(masks, SAMPLING, generator(seed)) for _ in range(2))
    assert np.array_equal(one, other)


@given(seeds)
def test_every_part_of_a_merged_object_has_a_click(seed: int) -> None:
    masks = make_masks(2 * seed + 1)
    points = draw_first_clicks(masks, SAMPLING, generator(seed))
    places = list_used(points[: SAMPLING.places])
    assert all(any(part[place] for place in places) for part in masks.parts if part.any())


@given(seeds)
def test_a_single_first_click_is_alone_and_positive(seed: int) -> None:
    masks = make_masks(seed)
    points = draw_first_clicks(masks, replace(SAMPLING, single=1.0), generator(seed))
    if (masks.target == 1).any():
        assert len(list_used(points)) == len(list_used(points[: SAMPLING.places])) == 1


@given(seeds)
def test_a_centred_first_click_lies_deep_inside(seed: int) -> None:
    masks = make_masks(seed)
    points = draw_first_clicks(masks, replace(SAMPLING, centred=1.0), generator(seed))
    if (masks.target == 1).any():
        place = list_used(points[:1])[0]
        assert find_inner(masks.target == 1, SAMPLING.centre_depth)[place]
        assert points[0, 2] == FIRST


@given(seeds)
def test_eroded_positives_keep_three_pixels_from_the_border(seed: int) -> None:
    part = np.zeros(SIZE, dtype=bool)
    part[5:30, 6:40] = True
    for row, col in draw_positives([part], 10, replace(SAMPLING, eroded=1.0), generator(seed)):
        assert 8 <= row < 27
        assert 9 <= col < 37


def test_a_part_too_small_to_erode_is_taken_whole() -> None:
    part = np.zeros(SIZE, dtype=bool)
    part[5:8, 6:9] = True
    assert len(draw_positives([part], 4, replace(SAMPLING, eroded=1.0), generator(0))) == 4


def test_counts_fall_by_the_decay() -> None:
    masks = make_masks(0)
    counts = np.zeros((SAMPLING.places + 1, 2))
    for seed in range(4000):
        points = draw_first_clicks(masks, SAMPLING, generator(seed))
        counts[len(list_used(points[: SAMPLING.places])), 0] += 1
        counts[len(list_used(points[SAMPLING.places :])), 1] += 1
    ratios = counts[2:5] / counts[1:4]
    assert np.allclose(ratios, 0.8, atol=0.1)


def test_negatives_come_from_where_the_weights_say() -> None:
    target = np.zeros(SIZE, np.int8)
    target[15:25, 15:25] = 1
    others = np.zeros(SIZE, dtype=bool)
    others[:3, :3] = True
    masks = ObjectMasks(target, others, (target == 1,))
    for name, place in (
        ("others", others),
        ("ring", find_ring(target)),
        ("background", target == 0),
    ):
        only = replace(SAMPLING, background=0, others=0, ring=0)
        found = draw_negatives(masks, 20, replace(only, **{name: 1.0}), generator(1))
        assert len(found) == 20
        assert all(place[one] for one in found)


def test_no_background_means_no_negative_click() -> None:
    whole = np.ones(SIZE, dtype=bool)
    masks = ObjectMasks(np.ones(SIZE, np.int8), ~whole, (whole,))
    assert draw_negatives(masks, 5, SAMPLING, generator(0)) == []


def test_a_ring_is_a_tenth_of_the_root_of_the_area_wide() -> None:
    target = np.zeros(SIZE, np.int8)
    target[10:30, 10:30] = 1  # the root of its area is 20
    wide = np.zeros(SIZE, dtype=bool)
    wide[8:32, 8:32] = True
    assert np.array_equal(find_ring(target), wide & (target == 0))


@given(seeds, st.sampled_from([1.0, 2.0, 5.0]))
def test_a_later_click_lies_in_the_deeper_error(seed: int, depth: float) -> None:
    masks, rng = make_masks(seed), generator(seed)
    probability = rng.random(SIZE, dtype=np.float32) if seed % 3 else blob(rng).astype(np.float32)
    click = draw_next_click(probability, masks.target, replace(SAMPLING, depth=depth), rng)
    missing = (masks.target == 1) & (probability < SAMPLING.threshold)
    false = (masks.target == 0) & (probability > SAMPLING.threshold)
    if click is None:
        assert not (missing | false).any()
        return
    row, col, positive = click
    error = missing if positive else false
    assert error[row, col]
    assert find_inner(error, depth)[row, col]
    assert (_depth(missing) > _depth(false)) == positive


@given(st.integers(1, 120), st.sampled_from([1.0, 1.7, 2.0]))
def test_objects_of_any_depth_have_inner_pixels(side: int, depth: float) -> None:
    mask = np.zeros((260, 260), bool)
    mask[10 : 10 + 2 * side, 10 : 10 + 2 * side] = True
    inner = find_inner(mask, depth)
    assert inner.any()
    assert mask[inner].all()
    assert inner[9 + side, 9 + side]  # one of the four in the middle


def _depth(mask: NDArray[np.bool_]) -> float:
    padded = np.pad(mask, 1).view(np.uint8)
    return float(cv2.distanceTransform(padded, cv2.DIST_L2, 5).max())


def test_nothing_wrong_means_no_click() -> None:
    target = make_masks(3).target
    assert draw_next_click((target == 1).astype(np.float32), target, SAMPLING, generator(0)) is None
    points = np.full((8, 3), -1, np.float32)
    assert np.array_equal(with_click(points, None, 1), points)


@given(st.integers(1, 4), st.booleans())
def test_a_later_click_takes_its_place_from_the_end_and_leaves_the_rest(
    number: int, positive: bool
) -> None:
    points = np.arange(24, dtype=np.float32).reshape(8, 3)
    before = points.copy()
    changed = with_click(points, (5, 6, positive), number)
    place = (4 if positive else 8) - number
    assert changed[place].tolist() == [5, 6, number]
    assert np.array_equal(np.delete(changed, place, axis=0), np.delete(points, place, axis=0))
    assert np.array_equal(points, before)


@given(seeds)
def test_trimming_changes_no_map(seed: int) -> None:
    rng = generator(seed)
    batch = [
        draw_first_clicks(make_masks(seed + k), SAMPLING, generator(seed + k)) for k in range(3)
    ]
    batch[0] = with_click(batch[0], (3, 4, bool(rng.integers(2))), 1)
    points = np.stack(batch)
    few = trim_points(points)
    assert 2 <= few.shape[1] <= points.shape[1]
    assert few.shape[1] % 2 == 0
    maps = [draw_disks(torch.from_numpy(one), SIZE, 5.0) for one in (points, few)]
    assert torch.equal(*maps)


def test_a_batch_without_clicks_keeps_a_place_of_each_sign() -> None:
    assert trim_points(np.full((2, 10, 3), -1, np.float32)).shape == (2, 2, 3)
