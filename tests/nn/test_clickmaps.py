"""Disks around clicks are those of the original, to the last pixel on their edge."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from csfpn.propagation import find_clicked_cells
from isbench.nn.clickmaps import draw_disks, encode_points, mirror_points
from isbench.nn.inference.zoom_in import Box, map_clicks
from isbench.types import Click

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
    assert draw_disks(table[..., :3], size, RADIUS)[0, 0, 128, 350] == 1  # without the remainders


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


def test_mirroring_twice_gives_the_points_back() -> None:
    points = encode_points([(127.08333333333333, 354.91525423728814, True), (0.1, 0.2, False)])
    twice = mirror_points(mirror_points(points, 600), 600)
    exact = twice.double()[..., 1] + twice.double()[..., 4]
    assert torch.allclose(exact, points.double()[..., 1] + points.double()[..., 4], atol=1e-12)
