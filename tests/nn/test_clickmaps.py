"""Disks around clicks are those of the original, to the last pixel on their edge."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from csfpn.propagation import find_clicked_cells
from isbench.nn.clickmaps import draw_disks, encode_points, mirror_points
from isbench.nn.inference.zoom_in import Box, map_clicks
from isbench.nn.network import example_image, example_points
from isbench.nn.runtime import openvino
from isbench.nn.runtime.backends import accelerate
from isbench.types import Click, Runtime
from tests.support.synthetic import CLICK, PLACE

Point = tuple[float, float, bool]
RADIUS = 5.0


def draw_like_the_original(
    points: list[Point], size: tuple[int, int], mirrored: bool = False
) -> NDArray[np.bool_]:
    """Return (2, H, W) disks: distances subtracted in double precision, squared in single."""
    rows, cols = (np.arange(side, dtype=np.float64) for side in size)
    maps = np.zeros((2, *size), bool)
    for row, col, positive in points:
        col = size[1] - col - 1 if mirrored else col
        row_distance = (rows - row).astype(np.float32)[:, None]
        col_distance = (cols - col).astype(np.float32)[None]
        squared = row_distance * row_distance + col_distance * col_distance
        maps[0 if positive else 1] |= squared <= np.float32(RADIUS * RADIUS)
    return maps


def check(points: list[Point], size: tuple[int, int]) -> None:
    table = encode_points(points)
    for mirrored in (False, True):
        drawn = draw_disks(mirror_points(table, size[1]) if mirrored else table, size, RADIUS)
        assert np.array_equal(drawn[0].bool(), draw_like_the_original(points, size, mirrored))


def test_a_pixel_that_single_precision_puts_on_the_other_side_is_drawn_as_by_the_original() -> None:
    size = 488, 600
    points = map_clicks([Click(125, 613, True)], Box(0, 479, 264, 853), size)
    check(points, size)
    table = encode_points(points)
    assert draw_disks(table, size, RADIUS)[0, 0, 128, 350] == 0
    table[..., 3:] = 0  # single precision
    assert draw_disks(table, size, RADIUS)[0, 0, 128, 350] == 1


SIDES = st.integers(20, 640)


@settings(max_examples=60)
@given(st.data(), SIDES, SIDES, SIDES, SIDES, st.integers(0, 300))
def test_disks_are_those_of_the_original(
    data: st.DataObject, rows: int, cols: int, height: int, width: int, left: int
) -> None:
    box = Box(0, rows - 1, left, left + cols - 1)
    spots = st.tuples(st.integers(0, rows - 1), st.integers(0, cols - 1), st.booleans())
    clicks = [Click(row, left + col, sign) for row, col, sign in data.draw(st.lists(spots))]
    check(map_clicks(clicks, box, (height, width)), (height, width))


@settings(max_examples=200)
@given(st.floats(0, 600), st.floats(0, 600), st.sampled_from([2, 4]))
def test_cells_are_those_of_double_precision(row: float, col: float, stride: int) -> None:
    cells = find_clicked_cells(encode_points([(row, col, True)]), (400, 400), stride)
    assert cells.places[0, 0] == int(row // stride) * 400 + int(col // stride)


@given(st.integers(0, 900), st.integers(0, 900), st.integers(1, 900), st.integers(1, 1200))
def test_clicks_in_crops_are_rounded_once(row: int, top: int, height: int, size: int) -> None:
    box = Box(top, top + height - 1, 0, height - 1)
    ((found, _, _),) = map_clicks([Click(row, 0, True)], box, (size, size))
    assert found == float(Fraction(size * (row - top), height))


def test_mirroring_twice_gives_the_points_back() -> None:
    points = encode_points([(127.08333333333333, 354.91525423728814, True), (0.1, 0.2, False)])
    twice = mirror_points(mirror_points(points, 600), 600)
    exact = twice.double()[..., 1] + twice.double()[..., 4]
    assert torch.allclose(exact, points.double()[..., 1] + points.double()[..., 4], atol=1e-12)


@settings(max_examples=50)
@given(st.lists(st.one_of(CLICK, PLACE), max_size=8), st.sampled_from([1.0, 3.0, 5.0, 24.0]))
def test_a_disk_is_what_lies_within_its_radius(
    clicks: list[tuple[float, float, bool]], radius: float
) -> None:
    drawn = draw_disks(encode_points(clicks), (20, 30), radius)[0].numpy() > 0
    rows, cols = np.arange(20, dtype=np.float32)[:, None], np.arange(30, dtype=np.float32)
    for sign, wanted in ((True, drawn[0]), (False, drawn[1])):
        slow = np.zeros((20, 30), bool)
        for row, col, positive in clicks:
            if positive == sign and max(row, col) >= 0:
                far = (rows - np.float32(row)) ** 2 + (cols - np.float32(col)) ** 2
                slow |= far <= radius**2  # in single precision, as networks compute
        assert (slow == wanted).all()


@settings(max_examples=50)
@given(st.lists(CLICK, max_size=8))
def test_the_mirrored_clicks_draw_the_mirrored_maps(clicks: list[Click]) -> None:
    table = encode_points(clicks)
    kept = table.clone()
    mirror = draw_disks(mirror_points(table, 30), (20, 30), 5)
    assert torch.equal(mirror, draw_disks(table, (20, 30), 5).flip(3))
    assert torch.equal(table, kept)


def test_a_click_above_and_left_of_a_crop_is_mirrored_too() -> None:
    table = encode_points([(-2.0, -2.0, True)])
    assert mirror_points(table, 30)[0, 0].tolist() == [-2, 31, 0, 0, 0]


class Disks(nn.Module):
    """Draws disks and their mirror image."""

    def forward(self, image: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        height, width = image.shape[2:]
        mirrored = mirror_points(points, width)
        return tuple(draw_disks(table, (height, width), RADIUS) for table in (points, mirrored))

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        return example_image(size), example_points(size, points)


@pytest.mark.skipif(not openvino.is_installed(), reason="openvino is not installed")
def test_a_backend_does_not_simplify_the_remainders_away() -> None:
    size, fast = (488, 600), accelerate(Disks(), Runtime(backend="openvino"))
    rng = np.random.default_rng(0)
    for _ in range(20):
        rows, cols = rng.integers(0, 480, 4), rng.integers(264, 854, 4)
        clicks = [Click(int(row), int(col), True) for row, col in zip(rows, cols, strict=True)]
        points = encode_points(map_clicks(clicks, Box(0, 479, 264, 853), size))
        image = torch.zeros(1, 4, *size)
        for found, wanted in zip(fast(image, points), Disks()(image, points), strict=True):
            assert torch.equal(found, wanted)
