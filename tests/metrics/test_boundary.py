"""Boundary IoU: what Cheng et al. 2021 say of it holds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from isbench.metrics.boundary import choose_band_width, compute_boundary_iou, find_boundary_band
from isbench.types import Mask

SHAPE = (13, 17)
MASKS = arrays(np.bool_, SHAPE)
WIDTHS = st.integers(1, 6)
NONE = np.zeros(SHAPE, bool)


def square(top: int, left: int, side: int, shape: tuple[int, int] = (200, 200)) -> Mask:
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


@given(MASKS, WIDTHS)
def test_a_band_is_the_mask_without_its_erosion(mask: Mask, width: int) -> None:
    padded = np.pad(mask, width + 1).astype(np.uint8)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)
    inner = eroded[width + 1 : -width - 1, width + 1 : -width - 1].astype(bool)
    assert (find_boundary_band(mask, width) == (mask & ~inner)).all()


@given(MASKS, MASKS, MASKS, WIDTHS)
def test_it_is_a_share_and_does_not_mind_the_order(
    mask: Mask, truth: Mask, ignore: Mask, width: int
) -> None:
    one, other = (
        compute_boundary_iou(*pair, ignore, width) for pair in ((mask, truth), (truth, mask))
    )
    assert np.isnan(one) or 0 <= one <= 1
    assert one == other or (np.isnan(one) and np.isnan(other))


@given(MASKS, WIDTHS)
def test_a_mask_has_the_boundary_of_itself(mask: Mask, width: int) -> None:
    found = compute_boundary_iou(mask, mask, NONE, width)
    assert found == 1 if mask.any() else np.isnan(found)


@given(MASKS, MASKS, MASKS)
def test_in_a_band_that_holds_all_it_is_iou(mask: Mask, truth: Mask, ignore: Mask) -> None:
    union = ((mask | truth) & ~ignore).sum()
    found = compute_boundary_iou(mask, truth, ignore, sum(SHAPE))
    if union:
        assert found == ((mask & truth) & ~ignore).sum() / union
    else:
        assert np.isnan(found)


@given(MASKS, MASKS, MASKS, WIDTHS)
def test_what_is_not_scored_does_not_matter(
    mask: Mask, truth: Mask, ignore: Mask, width: int
) -> None:
    found = compute_boundary_iou(mask, truth, ignore, width)
    again = compute_boundary_iou(mask ^ ignore, truth | ignore, ignore, width)
    assert found == again or (np.isnan(found) and np.isnan(again))


def test_the_same_wrong_rim_costs_a_large_object_as_much_as_a_small_one() -> None:
    nothing = square(0, 0, 0)
    small, large = (
        compute_boundary_iou(square(20, 20, side), square(21, 20, side), nothing)
        for side in (40, 120)
    )
    assert small == pytest.approx(large, abs=0.03)
    assert large < 0.85  # while the IoU of the whole masks is 0.98


def test_the_band_is_two_percent_of_the_diagonal_and_never_nothing() -> None:
    assert choose_band_width((480, 854)) == 20
    assert choose_band_width((3, 4)) == 1
