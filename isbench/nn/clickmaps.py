"""Clicks as tensors: padded points, and disks drawn around them [Sofiiuk 2021]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from isbench.types import Click

FAR = 1e6  # squared distance where there is no click of a sign


def points(clicks: Sequence[tuple[float, float, bool]] | Sequence[Click]) -> Tensor:
    """Return clicks as (1, 2K, 3) float32: K positive ones, then K negative ones.

    Each is (row, col, order), order counting from 0 through the game; K is the larger of the two
    counts, at least 1, and unused places are -1. Rows and columns may be fractions.
    """
    halves: tuple[list[tuple[float, float, float]], ...] = ([], [])
    for order, (row, col, positive) in enumerate(clicks):
        halves[0 if positive else 1].append((float(row), float(col), float(order)))
    places = max(1, *map(len, halves))
    table = torch.full((2, places, 3), -1.0)
    for half, found in zip(table, halves, strict=True):
        if found:
            half[: len(found)] = torch.tensor(found)
    return table.reshape(1, 2 * places, 3)


def mirrored(clicks: Tensor, width: int) -> Tensor:
    """Return (B, 2K, 3) points of an image mirrored left to right; unused places stay unused."""
    flipped = clicks.clone()
    used = clicks[..., 2] >= 0  # a click above and left of a crop is one nevertheless
    flipped[..., 1] = torch.where(used, width - 1 - clicks[..., 1], clicks[..., 1])
    return flipped


def disks(clicks: Tensor, size: tuple[int, int], radius: float) -> Tensor:
    """Return (B, 2, H, W) maps, 1 within `radius` pixels of a click: positive ones, negative ones.

    A place counts as unused if neither its row nor its column reaches 0.
    """
    return (_squared_distance(clicks, size) <= radius * radius).to(clicks.dtype)


def _squared_distance(clicks: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (B, 2, H, W) squared distances to the nearest click of each sign."""
    batch, places, _ = clicks.shape
    rows = torch.arange(size[0], device=clicks.device, dtype=clicks.dtype)
    cols = torch.arange(size[1], device=clicks.device, dtype=clicks.dtype)
    by_row = (rows - clicks[..., 0:1]) ** 2  # (B, 2K, H)
    by_col = (cols - clicks[..., 1:2]) ** 2  # (B, 2K, W)
    unused = clicks[..., :2].amax(dim=-1) < 0  # (B, 2K)
    distance = torch.full((batch, 2, *size), FAR, device=clicks.device, dtype=clicks.dtype)
    for k in range(places // 2):  # one click at a time: a 100-click game needs no more memory
        for sign in range(2):
            place = sign * (places // 2) + k
            near = by_row[:, place, :, None] + by_col[:, place, None, :]
            near = near.masked_fill(unused[:, place, None, None], FAR)
            distance[:, sign] = torch.minimum(distance[:, sign], near)
    return distance
