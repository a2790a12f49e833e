"""Click-guided propagation of CSFPN (BMVC 2023, Eq. 1-3): attention from the clicks to every cell.

SGM spreads semantic features of the clicked cells over the map at 1/4, HSGM those of the fused map
at 1/2 by weights from SGM's output. Queries are dense; keys and values are gathered at the clicked
cells and only then projected, so that the cost is cells times clicks, as the paper states and its
released code, which projects everything, does not reach. Attribute names are the keys of that code.

Differs from the paper on purpose, as its code does: three heads are averaged, a gate that starts at
0 scales what is propagated, a 1x1 convolution follows SGM. Differs from the code on purpose, unless
`released` is on: clicks in the first cell count, clicks left of the crop do not, any number is
taken, and the caller's points are never written.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isbench.nn.backbones.deeplab import Separable
from isbench.nn.stem import resize_bilinear


class Cells(NamedTuple):
    """Where clicks fall on a map: flat indices (B, M), and which of them count (B, M)."""

    places: Tensor
    counts: Tensor


def clicked_cells(
    clicks: Tensor, size: tuple[int, int], stride: int, released: bool = False
) -> Cells:
    """Return the cells of (B, M, 3) points on a map of `size` at `stride`.

    A point counts if it lies on the map. As in the released code, with `released` a point in the
    first cell does not count, and one left of the map falls at the end of the row above.
    """
    height, width = size
    row = torch.div(clicks[..., 0], stride, rounding_mode="floor").long()
    col = torch.div(clicks[..., 1], stride, rounding_mode="floor").long()
    index = row * width + col
    counts = (row < height) & (col < width)
    counts &= index > 0 if released else (row >= 0) & (col >= 0)
    return Cells(index.clamp(0, height * width - 1), counts)


def gather(x: Tensor, at: Cells) -> Tensor:
    """Return the features of the clicked cells, (B, C, M, 1) from (B, C, h, w)."""
    index = at.places[:, None].expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, index)[..., None]


def spread(query: Tensor, key: Tensor, value: Tensor, counts: Tensor) -> Tensor:
    """Return sum over clicks of softmax(query . key) * value, (B, C, h, w); 0 without a click.

    Query is (B, D, h, w), key (B, D, M, 1), value (B, C, M, 1).
    """
    scale = query.shape[1] ** -0.5
    # clicks before cells: so the softmax runs over whole rows of cells at once
    energy = torch.einsum("bdm,bdn->bmn", key[..., 0] * scale, query.flatten(2))
    none = ~counts.any(dim=1)
    energy = energy.masked_fill((~counts & ~none[:, None])[:, :, None], -torch.inf)
    weights = energy.softmax(dim=1).masked_fill(none[:, None, None], 0)
    out = torch.einsum("bcm,bmn->bcn", value[..., 0], weights)
    return out.reshape(*out.shape[:2], *query.shape[-2:])


class _Head(nn.Module):
    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.query_conv = nn.Conv2d(channels, channels // reduction, 1)
        self.key_conv = nn.Conv2d(channels, channels // reduction, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, at: Cells) -> Tensor:
        clicked = gather(x, at)
        key, value = self.key_conv(clicked), self.value_conv(clicked)
        return self.gamma * spread(self.query_conv(x), key, value, at.counts)


class Sgm(nn.Module):
    """Semantic graph module: (B, C, h, w) -> (B, C, h, w)."""

    def __init__(self, channels: int, reduction: int, heads: int) -> None:
        super().__init__()
        self.atts = nn.ModuleList(_Head(channels, reduction) for _ in range(heads))
        self.conv1 = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )

    def forward(self, x: Tensor, at: Cells) -> Tensor:
        """Return x with the clicked cells' features spread over it."""
        heads = [head(x, at) for head in self.atts]
        y: Tensor = self.conv1(x + torch.stack(heads).mean(dim=0))
        return y


class Hsgm(nn.Module):
    """High-resolution semantic graph module: 1/4 map and stem to a map at the stem's size.

    A 1x1 convolution and a bilinear resize commute, so that queries are projected at 1/4 and then
    raised, and keys are sampled where the clicks are.
    """

    def __init__(
        self, high: int, low: int, reduction: int, light: bool = False, out: int | None = None
    ) -> None:
        super().__init__()
        out = high if out is None else out
        self.gamma = nn.Parameter(torch.zeros(1))
        self.query_conv = nn.Conv2d(high, high // reduction, 1)
        self.key_conv = nn.Conv2d(high, high // reduction, 1)
        self.value_conv = nn.Conv2d(out, out, 1)
        self.fusion = _Light(high, low, out) if light else _dense(high, low, out)

    def forward(self, high: Tensor, low: Tensor, at: Cells) -> Tensor:
        """Return (B, out, H, W) for (B, high, h, w) and (B, low, H, W), cells of the latter."""
        size = low.shape[-2:]
        if isinstance(self.fusion, _Light):
            fused: Tensor = self.fusion(high, low)
        else:
            fused = self.fusion(torch.cat([resize_bilinear(high, size), low], dim=1))
        query = resize_bilinear(self.query_conv(high), size)
        key, value = self.key_conv(sample(high, at, size)), self.value_conv(gather(fused, at))
        return fused + self.gamma * spread(query, key, value, at.counts)


def sample(x: Tensor, at: Cells, size: torch.Size) -> Tensor:
    """Return what `gathered` gives of x raised to `size`, without raising it."""
    height, width = size
    row = at.places.div(width, rounding_mode="floor") * (2 / max(height - 1, 1)) - 1
    col = at.places.remainder(width) * (2 / max(width - 1, 1)) - 1
    grid = torch.stack([col, row], dim=-1)[:, :, None].clamp(-1, 1)  # (B, M, 1, 2), as (x, y)
    precise = torch.promote_types(x.dtype, torch.float32)  # half of it is off by parts of a cell
    return F.grid_sample(x.to(precise), grid.to(precise), align_corners=True).to(x.dtype)


def _dense(high: int, low: int, out: int) -> nn.Sequential:
    """Return the released code's fusion of the raised map joined with the stem."""
    return nn.Sequential(
        nn.Conv2d(high + low, out, 3, padding=1),
        nn.BatchNorm2d(out),
        nn.ReLU(),
        nn.Conv2d(out, out, 3, padding=1),
        nn.BatchNorm2d(out),
        nn.ReLU(),
    )


class _Light(nn.Module):
    """A fusion of about a tenth of the cost, which is what the paper's Table 4 leaves room for."""

    def __init__(self, high: int, low: int, out: int) -> None:
        super().__init__()
        self.high = nn.Conv2d(high, out, 1, bias=False)
        self.low = nn.Conv2d(low, out, 1, bias=False)
        self.norm = nn.BatchNorm2d(out)
        self.smooth = Separable(out, out)

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        # one 1x1 convolution of both joined, its first half at 1/4
        joined = resize_bilinear(self.high(high), low.shape[-2:]) + self.low(low)
        y: Tensor = self.smooth(torch.relu(self.norm(joined)))
        return y
