"""Maps of the distance to the nearest click, and Gaussians of them [FocusCut, FCA-Net].

Not here: where a click lies in a resized image, which differs between the two systems.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isbench.nn.network import example_points

FARTHEST = 255  # pixels; every greater distance counts as this one


def measure_distances(
    points: Iterable[tuple[int, int]], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the Euclidean distance of each pixel to the nearest (row, col), (H, W) in pixels.

    It is at most FARTHEST, and FARTHEST everywhere without points. Squared distances are whole
    numbers, so that this is exactly a distance transform rounded to single precision.
    """
    rows, cols = (np.arange(length, dtype=np.int32) for length in shape)
    nearest = np.full(shape, FARTHEST**2, np.int32)
    for row, col in points:
        squared = (rows - row)[:, None] ** 2 + (cols - col)[None, :] ** 2
        np.minimum(nearest, squared, out=nearest)
    return np.sqrt(nearest).astype(np.float32)


def measure_point_distances(points: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return what `measure_distances` does for points of training, each (B, 1, H, W).

    Points are (B, 2K, 3), positive ones first, as in `isbench.training.clicks`.
    """
    rows, cols = (torch.arange(length, device=points.device, dtype=points.dtype) for length in size)
    nearest = [points.new_full((len(points), 1, *size), FARTHEST**2) for _ in range(2)]
    half = points.shape[1] // 2
    for place in range(2 * half):
        row, col, used = (points[:, place, k, None, None, None] for k in range(3))
        squared = (rows[:, None] - row) ** 2 + (cols - col) ** 2  # (B, 1, H, W)
        squared = torch.where(used >= 0, squared, FARTHEST**2)
        nearest[place // half] = torch.minimum(nearest[place // half], squared)
    return nearest[0].sqrt(), nearest[1].sqrt()


def make_gaussian(distances: Tensor, spread: float) -> Tensor:
    """Return exp(-4 ln 2 d² / spread²): 1 at a click, 1/2 at half of `spread` pixels."""
    return torch.exp(-4 * log(2) * distances**2 / spread**2)


def example_distances(size: tuple[int, int], maps: int) -> list[Tensor]:
    """Return (1, 1, H, W) maps, each to a point of its own; see `isbench.nn.network`."""
    points = example_points(size, 2 * maps)[0, :maps]
    rows, cols = (torch.arange(length, dtype=points.dtype) for length in size)
    made = (torch.hypot(rows[:, None] - point[0], cols - point[1]) for point in points)
    return [one.clamp(max=FARTHEST)[None, None] for one in made]
