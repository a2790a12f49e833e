"""RoIAlign (He et al. 2017, arXiv:1703.06870): regions of feature maps, resampled to a fixed size.

The rules are those of torchvision's `roi_align` with `aligned=True`. Not here: how a region is
chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor


class Region(NamedTuple):
    """The edges of a rectangle, in pixels; pixel k reaches from edge k to edge k + 1."""

    top: float
    bottom: float
    left: float
    right: float


def roi_align(
    features: Tensor,
    regions: Sequence[Region],
    size: tuple[int, int],
    scale: float = 1.0,
    sampling_ratio: int = 0,
) -> Tensor:
    """Return one region of each map of a batch, resampled.

    Each cell of the result is the mean of evenly spaced samples, interpolated bilinearly. A sample
    more than a pixel outside the map is 0; nearer ones take the value at the border.

    Parameters
    ----------
    features : Tensor
        (B, C, H, W) maps.
    regions : sequence of Region
        One for each map, in the frame of the image.
    size : tuple of int
        Rows and columns of the result.
    scale : float
        The size of the maps relative to that frame.
    sampling_ratio : int
        Samples of a cell in each direction. 0: as many as the cell has pixels, rounded up.

    Returns
    -------
    Tensor
        (B, C, *size).
    """
    aligned = []
    for x, region in zip(features, regions, strict=True):
        rows = _resample(x.mT, (region.top, region.bottom), size[0], scale, sampling_ratio).mT
        columns = (region.left, region.right)
        aligned.append(_resample(rows, columns, size[1], scale, sampling_ratio))
    return torch.stack(aligned)


def _resample(
    x: Tensor, edges: tuple[float, float], cells: int, scale: float, sampling_ratio: int
) -> Tensor:
    """Return the interval between two edges of the last dimension, (..., n) -> (..., cells)."""
    # in single precision and in this order, as torchvision computes them
    start, end = torch.tensor(edges, dtype=torch.float32) * scale - 0.5
    cell = (end - start) / cells
    samples = sampling_ratio or ceil(float(cell))
    if samples < 1:  # an empty interval
        return x.new_zeros(*x.shape[:-1], cells)
    k = torch.arange(cells * samples)
    positions = start + k // samples * cell + (k % samples + 0.5) * cell / samples
    return _interpolate(x, positions).reshape(*x.shape[:-1], cells, samples).mean(dim=-1)


def _interpolate(x: Tensor, positions: Tensor) -> Tensor:
    """Return x at fractional positions of the last dimension, 0 more than one beyond its ends."""
    last = x.shape[-1] - 1
    inside = (positions >= -1) & (positions <= last + 1)
    within = positions.clamp(0, last)
    low = within.long()
    rest, high = within - low, (low + 1).clamp(max=last)
    weights = ((1 - rest) * inside).to(x), (rest * inside).to(x)
    # not x[..., low]: the gradient of indexing by a tensor is slow on GPUs
    below, above = (x.index_select(-1, places.to(x.device)) for places in (low, high))
    return below * weights[0] + above * weights[1]
