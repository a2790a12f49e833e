"""CDNet's feature diffusion (Chen et al. 2021): clicked cells spread features to similar cells.

Written from a description of variant 3 of the released module, to which it is equal under synthetic
weights (tests/baselines/test_cdnet.py); attribute names are the keys of its checkpoints. The module
is independent of the network around it.

Differs: each sign is a separate attention with scaled keys, so that no cells-by-cells matrix is
stored; queries are multiplied with keys twice, where the released code does it once. `inner` and
the version without a gate are this project's reading of Table 4 of CSFPN (BMVC 2023).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isbench.nn.backbones.deeplab import Separable
from isbench.nn.clickmaps import draw_disks
from isbench.nn.stem import ZeroConv2d, resize_bilinear

RADIUS = 24.0  # of the click disks that diffuse, in input pixels
SURE = 0.8  # a cell whose gate is above this diffuses like a clicked one


def click_proximity(
    clicks: Tensor, input_size: tuple[int, int], size: torch.Size | tuple[int, int]
) -> Tensor:
    """Return how much of each cell is clicked, (B, 2, *size) in [0, 1]: positive, negative.

    Clicks are (B, 2K, 5) points on an input of `input_size`.
    """
    return resize_bilinear(draw_disks(clicks, input_size, RADIUS), size)


class FdmOutput(NamedTuple):
    """The map after diffusion, (B, C, h, w), and the gate, (B, 1, h, w) in [0, 1], if any.

    The gate is the probability that a cell belongs to the object; only its own loss trains it.
    """

    features: Tensor
    gate: Tensor | None


class _Gate(nn.Module):
    def __init__(self, channels: int, last_layer: type[nn.Conv2d]) -> None:
        super().__init__()
        self.layers = nn.Sequential(Separable(channels, channels), last_layer(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.layers(x))


class Fdm(nn.Module):
    """Feature diffusion module: (B, C, h, w) -> (B, C, h, w), with memory linear in h * w.

    `gain` is the initial weight of the norms of what is added. With 0 nothing is added before
    training and the gate is 1/2 everywhere, so the module can be inserted into a trained network.
    """

    def __init__(
        self, channels: int, inner: int | None = None, gated: bool = True, gain: float = 1.0
    ) -> None:
        super().__init__()
        inner = channels if inner is None else inner
        if inner > channels:
            raise ValueError(f"inner is {inner}; wanted at most the {channels} channels of the map")
        # a gate that starts at random would disturb the features that it is trained on
        last_layer = nn.Conv2d if gain else ZeroConv2d
        self.gate_head_pos = _Gate(channels, last_layer) if gated else None
        self.t = nn.Conv2d(channels, inner, 1, bias=False)  # queries
        self.p = nn.Conv2d(channels, inner, 1, bias=False)  # keys
        self.g = nn.Conv2d(channels, inner, 1, bias=False)  # values
        self.z, self.bn = nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels)
        self.z2, self.bn2 = nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels)
        for norm in (self.bn, self.bn2):
            nn.init.constant_(norm.weight, gain)

    def forward(self, x: Tensor, clicked: Tensor) -> FdmOutput:
        """Return x plus the diffusion of both signs; `clicked` (B, 2, h, w) weights the keys."""
        gate: Tensor | None = None
        gate_by_sign = None
        weights = clicked.to(x.dtype)
        if self.gate_head_pos is not None:
            gate = self.gate_head_pos(x)
            gate_by_sign = torch.cat([gate, 1 - gate], dim=1).detach()  # (B, 2, h, w)
            weights = weights + (gate_by_sign > SURE).to(x.dtype)
        diffused = attend(self.t(x), self.p(x), self.g(x), weights)  # (B, 2, D, h, w)
        if gate_by_sign is not None:
            diffused = diffused * gate_by_sign[:, :, None]
        positive, negative = diffused.unbind(dim=1)
        return FdmOutput(x + self.bn(self.z(positive)) + self.bn2(self.z2(negative)), gate)


def attend(query: Tensor, key: Tensor, value: Tensor, weights: Tensor) -> Tensor:
    """Return the attention output (B, S, D, h, w): softmax over keys of query . key * weight.

    Query, key and value are (B, D, h, w), weights (B, S, h, w), one map for each of S signs. A
    weight of 0 gives a logit of 0, so without a click every cell receives the mean of all values.
    """
    signs = weights.shape[1]
    # signs take the place of attention heads; fused kernels need contiguous channels-last tensors
    sequences = [x.flatten(2).transpose(1, 2).contiguous()[:, None] for x in (query, key, value)]
    queries, keys, values = sequences  # (B, 1, N, D)
    weighted_keys = keys * weights.flatten(2)[..., None]  # (B, S, N, D)
    expanded_shape = -1, signs, -1, -1
    out = F.scaled_dot_product_attention(
        queries.expand(expanded_shape), weighted_keys, values.expand(expanded_shape), scale=1.0
    )
    return out.transpose(2, 3).reshape(*weights.shape[:2], *query.shape[1:])
