"""Clicks as tensors: padded points, and disk maps drawn around them [Sofiiuk 2021]."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor

from isbench.types import Click


def encode_points(
    clicks: Sequence[tuple[float, float, bool]] | Sequence[Click], few_lengths: bool = False
) -> Tensor:
    """Encode clicks as (1, 2K, 3) float32: K positive ones, then K negative ones.

    Each point is (row, col, order), with order counting all clicks of the game from 0. K is the
    larger of the two counts, at least 1, with `few_lengths` rounded up to a power of two; unused
    places are -1. Rows and columns may be fractional.
    """
    halves: tuple[list[tuple[float, float, float]], ...] = ([], [])
    for order, (row, col, positive) in enumerate(clicks):
        halves[0 if positive else 1].append((float(row), float(col), float(order)))
    places = max(1, *map(len, halves))
    if few_lengths:
        places = 1 << (places - 1).bit_length()
    table = torch.full((2, places, 3), -1.0)
    for half, clicks_of_sign in zip(table, halves, strict=True):
        if clicks_of_sign:
            half[: len(clicks_of_sign)] = torch.tensor(clicks_of_sign)
    return table.reshape(1, 2 * places, 3)


def mirror_points(clicks: Tensor, width: int) -> Tensor:
    """Return (B, 2K, 3) points for the horizontally flipped image; unused places stay unused."""
    flipped = clicks.clone()
    used = clicks[..., 2] >= 0  # by order: a used click may lie above or left of a crop
    flipped[..., 1] = torch.where(used, width - 1 - clicks[..., 1], clicks[..., 1])
    return flipped


def draw_disks(clicks: Tensor, size: tuple[int, int], radius: float) -> Tensor:
    """Return (B, 2, H, W) maps that are 1 within `radius` pixels of a positive, a negative click.

    A place counts as unused if both its row and its column are below 0. Only the windows around
    clicks are computed, so the cost does not grow with the image.
    """
    batch, places, _ = clicks.shape
    height, width = size
    reach = torch.arange(-ceil(radius), ceil(radius) + 2, device=clicks.device, dtype=clicks.dtype)
    row, col = clicks[..., 0, None], clicks[..., 1, None]  # (B, 2K, 1)
    rows, cols = row.floor() + reach, col.floor() + reach  # (B, 2K, window)
    near = (rows - row)[..., :, None] ** 2 + (cols - col)[..., None, :] ** 2 <= radius * radius
    used = clicks[..., :2].amax(dim=-1) >= 0
    near &= used[..., None, None] & _within(rows, height)[..., :, None]
    near &= _within(cols, width)[..., None, :]  # (B, 2K, window, window)
    cells = rows.clamp(0, height - 1)[..., :, None] * width + cols.clamp(0, width - 1)[..., None, :]
    maps = clicks.new_zeros(batch, 2, height * width)
    halves = (batch, 2, places // 2 * len(reach) ** 2)
    index, inside = cells.long().reshape(halves), near.to(clicks.dtype).reshape(halves)
    return maps.scatter_reduce(2, index, inside, "amax").reshape(batch, 2, height, width)


def _within(positions: Tensor, length: int) -> Tensor:
    return (positions >= 0) & (positions < length)
