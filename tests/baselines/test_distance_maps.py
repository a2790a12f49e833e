"""Distances, regions and depths equal to SciPy's, which the official codes compute them with."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from baselines.distance_maps import measure_distances, measure_point_distances
from baselines.focuscut.focus import choose_focus, rescale
from baselines.regions import keep_regions
from isbench.types import Click, Mask

SHAPE = (19, 24)
POINT = st.tuples(st.integers(0, SHAPE[0] - 1), st.integers(0, SHAPE[1] - 1))
MASK = arrays(bool, SHAPE)
VIEW = arrays(bool, (24, 24))


@settings(max_examples=15)
@given(st.lists(POINT, max_size=6), st.integers(1, 40))
def test_distances_are_those_of_a_transform_in_single_precision(
    points: list[tuple[int, int]], factor: int
) -> None:
    shape = SHAPE[0] * factor, SHAPE[1] * factor
    free = np.ones(shape, bool)
    for row, col in points:
        free[row * factor, col * factor] = False
    wanted = np.full(shape, 255.0) if free.all() else ndimage.distance_transform_edt(free)
    found = measure_distances([(row * factor, col * factor) for row, col in points], shape)
    assert found.dtype == np.float32
    assert np.array_equal(found, np.minimum(wanted.astype(np.float32), 255))


@settings(max_examples=30)
@given(st.lists(st.lists(POINT, max_size=3), min_size=2, max_size=2))
def test_distances_in_training_are_those_in_games(clicks: list[list[tuple[int, int]]]) -> None:
    points = np.full((1, 6, 3), -1, np.float32)
    for sign, places in enumerate(clicks):
        for k, place in enumerate(places):
            points[0, 3 * sign + k] = *place, 100
    found = measure_point_distances(torch.from_numpy(points), SHAPE)
    for places, distances in zip(clicks, found, strict=True):
        wanted = measure_distances(places, SHAPE)
        np.testing.assert_allclose(distances[0, 0].numpy(), wanted, atol=1e-5)


@settings(max_examples=30)
@given(MASK, st.lists(POINT, max_size=4))
def test_regions_are_those_that_touch_a_point(mask: Mask, points: list[tuple[int, int]]) -> None:
    labels, _ = ndimage.label(mask)
    kept = {labels[point] for point in points if mask[point]}
    assert np.array_equal(keep_regions(mask, points), np.isin(labels, [*kept]) & mask)


@settings(max_examples=50)
@given(MASK, POINT)
def test_an_unchanged_click_reaches_to_the_edge_of_its_region(
    mask: Mask, point: tuple[int, int]
) -> None:
    same = mask == mask[point]
    reach = ndimage.distance_transform_cdt(same, "chessboard")[point]
    assert choose_focus(Click(*point, True), mask, mask) == (max(5, reach), True)


@settings(max_examples=20)
@given(VIEW, VIEW, st.floats(0.2, 5))
def test_a_patch_grows_with_what_changed_at_some_depth(
    before: Mask, after: Mask, scale: float
) -> None:
    before, after = (np.kron(one, np.ones((16, 16), bool)) for one in (before, after))
    depth = ndimage.distance_transform_edt(before != after)
    rows, cols = np.nonzero(depth >= 2)
    found = rescale(scale, before, after)
    if not len(rows):
        assert found is None
    else:
        ratio = 1.1 * max(np.abs(rows - 192).max(), np.abs(cols - 192).max()) / 192
        assert found == max(scale * ratio, 0.2)


def test_a_thin_change_ends_a_point() -> None:
    before = np.zeros((384, 384), bool)
    after = before.copy()
    after[:, 100:102] = True  # nothing in it is 2 pixels from its edge
    assert rescale(1.0, before, after) is None
    after[:, 100:103] = True
    assert rescale(1.0, before, after) == 1.1
