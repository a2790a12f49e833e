"""CDNet's feature diffusion (Chen et al. 2021): clicked cells lend their features to alike ones.

Written from a description of variant 3 of the released module, to which it is equal under synthetic
weights (tests/baselines/test_cdnet.py); attribute names are the keys of its checkpoints. Does not
know what network it stands in.

Differs: each sign is an attention of its own whose keys are scaled, so that no matrix of cells by
cells is kept; queries meet keys twice for it, where the released code multiplies them once. `inner`
and the version without a gate are this project's reading of Table 4 of CSFPN (BMVC 2023).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isbench.nn.backbones.deeplab import Separable
from isbench.nn.clickmaps import draw_disks
from isbench.nn.stem import resize_bilinear

RADIUS = 24.0  # of the disks that diffuse, in pixels of the input
SURE = 0.8  # a cell whose gate is above it diffuses as a clicked one does


def click_proximity(
    clicks: Tensor, full: tuple[int, int], size: torch.Size | tuple[int, int]
) -> Tensor:
    """Return how much of cells is clicked, (B, 2, *size) in [0, 1]: positive, negative.

    Clicks are (B, 2K, 3) points in the frame of an input of the size `full`.
    """
    return resize_bilinear(draw_disks(clicks, full, RADIUS), size)


class Diffused(NamedTuple):
    """The map after diffusion, (B, C, h, w), and the gate, (B, 1, h, w) in [0, 1] if there is one.

    The gate is the probability that a cell is the object's; only a loss of its own trains it.
    """

    features: Tensor
    gate: Tensor | None


class _Gate(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(Separable(channels, channels), nn.Conv2d(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.layers(x))


class Fdm(nn.Module):
    """Feature diffusion module: (B, C, h, w) -> (B, C, h, w), memory linear in h * w."""

    def __init__(self, channels: int, inner: int | None = None, gated: bool = True) -> None:
        super().__init__()
        inner = channels if inner is None else inner
        if inner > channels:
            raise ValueError(f"attention of {inner} channels on {channels}; inner is at most those")
        self.gate_head_pos = _Gate(channels) if gated else None
        self.t = nn.Conv2d(channels, inner, 1, bias=False)  # queries
        self.p = nn.Conv2d(channels, inner, 1, bias=False)  # keys
        self.g = nn.Conv2d(channels, inner, 1, bias=False)  # values
        self.z, self.bn = nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels)
        self.z2, self.bn2 = nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, clicked: Tensor) -> Diffused:
        """Return x with what either sign diffuses added; `clicked` (B, 2, h, w) weighs the keys."""
        gate: Tensor | None = None
        open_to = None
        weights = clicked.to(x.dtype)
        if self.gate_head_pos is not None:
            gate = self.gate_head_pos(x)
            open_to = torch.cat([gate, 1 - gate], dim=1).detach()  # (B, 2, h, w)
            weights = weights + (open_to > SURE).to(x.dtype)
        spread = attend(self.t(x), self.p(x), self.g(x), weights)  # (B, 2, D, h, w)
        if open_to is not None:
            spread = spread * open_to[:, :, None]
        positive, negative = spread.unbind(dim=1)
        return Diffused(x + self.bn(self.z(positive)) + self.bn2(self.z2(negative)), gate)


def attend(query: Tensor, key: Tensor, value: Tensor, weights: Tensor) -> Tensor:
    """Return the mean of values (B, S, D, h, w) by softmax over keys of query . key * weight.

    Query, key and value are (B, D, h, w), weights (B, S, h, w), one map for each of S signs. A
    weight of 0 makes a logit 0, so that without a click every cell receives the mean of all.
    """
    signs = weights.shape[1]
    # signs stand where attention has its heads; fused kernels want channels last, without gaps
    rows = [x.flatten(2).transpose(1, 2).contiguous()[:, None] for x in (query, key, value)]
    queries, keys, values = rows  # (B, 1, N, D)
    scaled = keys * weights.flatten(2)[..., None]  # (B, S, N, D)
    wide = -1, signs, -1, -1
    out = F.scaled_dot_product_attention(
        queries.expand(wide), scaled, values.expand(wide), scale=1.0
    )
    return out.transpose(2, 3).reshape(*weights.shape[:2], *query.shape[1:])
