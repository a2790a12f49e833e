"""Clicks as tensors: padded points, and disk maps drawn around them [Sofiiuk 2021]."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor

from isbench.types import Click

POINT = 5  # numbers of a point; see `encode_points`


def encode_points(
    clicks: Sequence[tuple[float, float, bool]] | Sequence[Click],
    few_lengths: bool = False,
    places: int = 1,
) -> Tensor:
    """Encode clicks as (1, 2K, 5) float32: K positive ones, then K negative ones.

    Each point is (row, col, order, row remainder, col remainder), with order counting all clicks of
    the game from 0. Rows and columns may be fractional; the remainders are what single precision
    rounds off. K is the larger of the two counts, at least `places`, with `few_lengths` rounded up
    to a power of two. Unused places are -1, their remainders 0.
    """
    halves: tuple[list[tuple[float, float, float]], ...] = ([], [])
    for order, (row, col, positive) in enumerate(clicks):
        halves[0 if positive else 1].append((float(row), float(col), float(order)))
    places = max(places, *map(len, halves))
    if few_lengths:
        places = 1 << (places - 1).bit_length()
    table = torch.full((2, places, 3), -1.0, dtype=torch.float64)
    for half, clicks_of_sign in zip(table, halves, strict=True):
        if clicks_of_sign:
            half[: len(clicks_of_sign)] = torch.tensor(clicks_of_sign, dtype=torch.float64)
    rounded = table.float()
    remainders = (table - rounded)[..., :2].float()
    return torch.cat([rounded, remainders], dim=-1).reshape(1, 2 * places, POINT)


def mirror_points(clicks: Tensor, width: int) -> Tensor:
    """Return the points for the horizontally flipped image; unused places stay unused."""
    flipped = clicks.clone()
    used = clicks[..., 2] >= 0  # by order: a used click may lie above or left of a crop
    difference, rest = _subtract(torch.full_like(clicks[..., 1], width - 1), clicks[..., 1])
    rest = rest - get_remainders(clicks)[..., 1]
    col = difference + rest
    flipped[..., 1] = torch.where(used, col, clicks[..., 1])
    if clicks.shape[-1] == POINT:
        flipped[..., 4] = torch.where(used, rest - (col - difference), clicks[..., 4])
    return flipped


def get_remainders(clicks: Tensor) -> Tensor:
    """Return (B, 2K, 2): what the rounding of row and column took away; 0 for (B, 2K, 3) points.

    Training's clicks are whole numbers and therefore have three columns only.
    """
    if clicks.shape[-1] == POINT:
        return clicks[..., 3:]
    return torch.zeros_like(clicks[..., :2])


def _subtract(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return a - b, rounded, and what the rounding took away; exact together [Knuth's TwoSum]."""
    difference = a - b
    part = difference - a
    return difference, (a - (difference - part)) - (b + part)


def draw_disks(clicks: Tensor, size: tuple[int, int], radius: float) -> Tensor:
    """Return (B, 2, H, W) maps that are 1 within `radius` pixels of a positive, a negative click.

    A place counts as unused if both its row and its column are below 0. Distances are rounded as in
    the original, which subtracts in double precision: otherwise a pixel exactly on the edge could
    be on the other side. Only the windows around clicks are computed, so the cost does not grow
    with the image.
    """
    batch, places = clicks.shape[:2]
    height, width = size
    reach = torch.arange(-ceil(radius), ceil(radius) + 2, device=clicks.device, dtype=clicks.dtype)
    row, col = clicks[..., 0, None], clicks[..., 1, None]  # (B, 2K, 1)
    rows, cols = row.floor() + reach, col.floor() + reach  # (B, 2K, window)
    remainders = get_remainders(clicks)
    row_distance = _measure_offsets(rows, row, remainders[..., 0, None])
    col_distance = _measure_offsets(cols, col, remainders[..., 1, None])
    squared = row_distance[..., :, None] ** 2 + col_distance[..., None, :] ** 2
    near = squared <= radius * radius  # (B, 2K, window, window)
    used = clicks[..., :2].amax(dim=-1) >= 0
    # not `&=`, which the ONNX exporter cannot trace
    near = near & used[..., None, None] & _within(rows, height)[..., :, None]
    near = near & _within(cols, width)[..., None, :]
    cells = rows.clamp(0, height - 1)[..., :, None] * width + cols.clamp(0, width - 1)[..., None, :]
    maps = clicks.new_zeros(batch, 2, height * width)
    halves = (batch, 2, places // 2 * len(reach) ** 2)
    index, inside = cells.long().reshape(halves), near.to(clicks.dtype).reshape(halves)
    return maps.scatter_reduce(2, index, inside, "amax").reshape(batch, 2, height, width)


def _measure_offsets(places: Tensor, position: Tensor, remainder: Tensor) -> Tensor:
    """Return places minus (position + remainder), rounded once."""
    difference, rest = _subtract(places, position)
    return difference + (rest - remainder)


def _within(positions: Tensor, length: int) -> Tensor:
    return (positions >= 0) & (positions < length)
