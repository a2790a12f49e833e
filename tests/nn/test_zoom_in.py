"""Crops: those of the original codes, around their object and inside the image."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isbench.nn.inference.zoom_in import Box, Zoom, box_iou
from tests.support.official_games import read_golden


@pytest.mark.parametrize("case", read_golden("zoomin_ritm"), ids=str)
def test_the_crop_is_ritms(case: dict[str, Any]) -> None:
    zoom = Zoom(400, least=case["min_crop"])
    box = zoom.expand(Box(*case["mask_bbox_rrcc"]), tuple(case["image_hw"]))
    assert list(box) == case["roi"]
    assert list(zoom.choose_size(box)) == case["crop_size_target400"]


@pytest.mark.parametrize("case", read_golden("csfpn")["zoomin_dynamic"], ids=str)
def test_the_dynamic_crop_is_that_of_csfpns_code(case: dict[str, Any]) -> None:
    zoom = Zoom(400, least=0, dynamic=True)
    box = zoom.expand(Box(*case["mask_bbox_rrcc"]), tuple(case["image_hw"]))
    assert list(box) == case["roi"]
    assert list(zoom.choose_size(box)) == case["crop_size_target400"]


BOX = st.tuples(st.integers(0, 80), st.integers(0, 19), st.integers(0, 120), st.integers(0, 29))


@given(BOX, st.sampled_from([0, 10, 50, 200]))
def test_a_crop_holds_its_object_and_stays_in_the_image(
    corner: tuple[int, int, int, int], least: int
) -> None:
    top, more, left, wider = corner
    box = Box(top, top + more, left, left + wider)
    crop = Zoom(400, least=least).expand(box, (100, 150))
    assert 0 <= crop.top <= box.top <= box.bottom <= crop.bottom < 100
    assert 0 <= crop.left <= box.left <= box.right <= crop.right < 150
    assert box_iou(crop, crop) == 1
    assert box_iou(box, crop) == box_iou(crop, box)
