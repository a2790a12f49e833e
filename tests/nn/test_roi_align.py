"""RoIAlign: equal to its definition, written without a tensor operation; laws of its samples."""

from __future__ import annotations

from math import ceil, floor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from isbench.nn.roi_align import Region, roi_align
from tests.support.synthetic import draw_picture

SCALE = st.sampled_from([1.0, 0.25, 0.5])
RATIO = st.integers(0, 3)
SIZE = st.tuples(st.integers(1, 6), st.integers(1, 6))


@st.composite
def regions(draw: st.DrawFn) -> Region:
    top, left = (draw(st.floats(-8, 30, width=16)) for _ in range(2))
    height, width = (draw(st.floats(0, 40, width=16)) for _ in range(2))
    return Region(top, top + height, left, left + width)


def interpolate(x: np.ndarray, row: float, col: float) -> float:
    """Return a map at a place; pixel k lies at k."""
    if not (-1 <= row <= x.shape[0] and -1 <= col <= x.shape[1]):
        return 0.0
    row, col = (min(max(v, 0.0), n - 1.0) for v, n in zip((row, col), x.shape, strict=True))
    total = 0.0
    for r in {floor(row), min(floor(row) + 1, x.shape[0] - 1)}:
        for c in {floor(col), min(floor(col) + 1, x.shape[1] - 1)}:
            total += max(0.0, 1 - abs(row - r)) * max(0.0, 1 - abs(col - c)) * x[r, c]
    return total


def align_slowly(
    x: np.ndarray, region: Region, size: tuple[int, int], scale: float, ratio: int
) -> np.ndarray:
    """Return what RoIAlign is defined as, for a single map."""
    top, bottom, left, right = (edge * scale - 0.5 for edge in region)
    height, width = (bottom - top) / size[0], (right - left) / size[1]
    rows, cols = ratio or ceil(height), ratio or ceil(width)
    found = np.zeros(size)
    for i, j in np.ndindex(size):
        samples = [
            interpolate(
                x, top + (i + (a + 0.5) / rows) * height, left + (j + (b + 0.5) / cols) * width
            )
            for a, b in np.ndindex(rows, cols)
        ]
        found[i, j] = sum(samples) / max(1, len(samples))
    return found


@settings(max_examples=40)
@given(regions(), SIZE, SCALE, RATIO)
def test_it_is_what_it_is_defined_as(
    region: Region, size: tuple[int, int], scale: float, ratio: int
) -> None:
    # edges that are multiples of 1/8 have no sample whose place rounds to the other side of a limit
    region = Region(*(round(8 * edge) / 8 for edge in region))
    x = draw_picture(2, 7, 9)
    found = roi_align(x, [region], size, scale, ratio)[0].double().numpy()
    for one, of in zip(found, x[0].double().numpy(), strict=True):
        near = [
            align_slowly(of, Region(*(edge + shift for edge in region)), size, scale, ratio)
            for shift in (0.0, -1e-5, 1e-5)
        ]
        exact = np.abs(one - near[0]) < 1e-4
        # a sample exactly one pixel outside may count or not
        assert (exact | (np.abs(near[1] - near[2]) > 1e-3)).all()


@pytest.mark.parametrize("ratio", [0, 1])
def test_the_whole_map_at_its_size_is_the_map(ratio: int) -> None:
    x = draw_picture(3, 12, 16)
    assert torch.equal(roi_align(x, [Region(0, 12, 0, 16)], (12, 16), 1.0, ratio), x)
    assert torch.equal(roi_align(x, [Region(0, 48, 0, 64)], (12, 16), 0.25, ratio), x)


@settings(max_examples=30)
@given(st.tuples(*[st.integers(-5, 5)] * 3), SIZE, RATIO)
def test_a_plane_is_reproduced_at_the_centres_of_the_cells(
    slopes: tuple[int, ...], size: tuple[int, int], ratio: int
) -> None:
    def plane(rows: Tensor, cols: Tensor) -> Tensor:
        return slopes[0] * rows[:, None] + slopes[1] * cols + slopes[2]

    region = Region(2, 13, 3, 17)  # far enough from the border
    x = plane(torch.arange(16.0), torch.arange(20.0))[None, None]
    height, width = 11 / size[0], 14 / size[1]
    rows = 1.5 + (torch.arange(size[0]) + 0.5) * height
    cols = 2.5 + (torch.arange(size[1]) + 0.5) * width
    found = roi_align(x, [region], size, 1.0, ratio)[0, 0]
    torch.testing.assert_close(found, plane(rows, cols), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "region",
    [Region(-20, -3, 2, 6), Region(2, 6, -20, -3), Region(12, 20, 2, 6), Region(2, 6, 14, 20)],
    ids=str,
)
def test_a_region_outside_of_the_map_is_0(region: Region) -> None:
    assert not roi_align(torch.ones(1, 2, 10, 12), [region], (3, 4)).any()


def test_an_empty_region_is_0() -> None:
    assert not roi_align(torch.ones(1, 2, 10, 12), [Region(4, 4, 2, 6)], (3, 4)).any()


def test_within_a_pixel_of_the_map_the_border_goes_on() -> None:
    x = draw_picture(1, 6, 6)
    (found,) = roi_align(x, [Region(-0.5, 0.5, 0, 6)], (1, 6), 1.0, 1)  # a row of samples at -0.5
    assert torch.equal(found, x[0, :, :1])


def test_as_many_samples_as_a_cell_has_pixels_are_taken() -> None:
    x = draw_picture(1, 12, 12)
    region = [Region(0, 12, 0, 12)]
    assert torch.equal(roi_align(x, region, (4, 4)), roi_align(x, region, (4, 4), 1.0, 3))
    assert torch.equal(roi_align(x, region, (5, 5)), roi_align(x, region, (5, 5), 1.0, 3))
    pooled = torch.nn.functional.avg_pool2d(x, 3)
    torch.testing.assert_close(roi_align(x, region, (4, 4)), pooled)


def test_each_map_of_a_batch_has_its_own_region() -> None:
    x = torch.cat([draw_picture(2, 8, 9), draw_picture(2, 8, 9, 5)])
    both = [Region(1, 6, 2, 7), Region(0, 3, 4, 9)]
    found = roi_align(x, both, (4, 5))
    alone = [roi_align(x[k : k + 1], both[k : k + 1], (4, 5)) for k in range(2)]
    assert torch.equal(found, torch.cat(alone))
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        roi_align(x, both[:1], (4, 5))


def test_it_keeps_the_precision_and_passes_gradients_on() -> None:
    x = draw_picture(2, 8, 9).bfloat16().requires_grad_()
    found = roi_align(x, [Region(1, 6, 2, 7)], (4, 5))
    assert found.dtype == torch.bfloat16
    found.sum().backward()
    assert x.grad is not None
    assert float(x.grad.float().sum()) == pytest.approx(2 * 4 * 5, rel=0.02)
