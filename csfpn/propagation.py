"""Click-guided propagation of CSFPN (BMVC 2023, Eq. 1-3): attention from the clicks to every cell.

SGM spreads semantic features of the clicked cells over the map at 1/4; HSGM spreads those of the
fused map at 1/2, with weights from SGM's output. Queries are dense; keys and values are gathered at
the clicked cells before they are projected, so the cost is cells times clicks, as the paper states.
The released code projects everything and does not reach this. Attribute names are its keys.

Deliberate differences from the paper, shared with its code: three heads are averaged, a gate
initialised to 0 scales what is propagated, and a 1x1 convolution follows SGM. Deliberate
differences from the code, unless `released` is on: clicks in the first cell count, clicks left of
the crop do not, any number of clicks is accepted, and the caller's points are never modified.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isbench.nn.backbones.deeplab import Separable
from isbench.nn.clickmaps import get_remainders
from isbench.nn.stem import resize_bilinear


class Cells(NamedTuple):
    """The cells of clicks on a map: flat indices (B, M), and which of them count (B, M)."""

    places: Tensor
    counts: Tensor


def find_clicked_cells(
    clicks: Tensor, size: tuple[int, int], stride: int, released: bool = False
) -> Cells:
    """Return the cells of (B, M, 5) points on a map of `size` at `stride`.

    A point counts if it lies on the map. With `released`, as in the released code, a point in the
    first cell does not count, and one left of the map lands at the end of the row above.
    """
    height, width = size
    row, col = _divide(clicks[..., :2], get_remainders(clicks), stride).unbind(dim=-1)
    index = row * width + col
    inside = (row < height) & (col < width)
    # not `&=`, which the ONNX exporter cannot trace
    counts = inside & (index > 0 if released else (row >= 0) & (col >= 0))
    return Cells(index.clamp(0, height * width - 1), counts)


def _divide(places: Tensor, remainders: Tensor, stride: int) -> Tensor:
    """Return the floor of (places + remainders) / stride."""
    quotient = torch.div(places, stride, rounding_mode="floor")
    rounded_up = (quotient * stride == places) & (remainders < 0)
    return quotient.long() - rounded_up.long()


def gather(x: Tensor, cells: Cells) -> Tensor:
    """Return the features of the clicked cells, (B, C, M, 1) from (B, C, h, w)."""
    index = cells.places[:, None].expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, index)[..., None]


def spread(query: Tensor, key: Tensor, value: Tensor, counts: Tensor) -> Tensor:
    """Return sum over clicks of softmax(query . key) * value, (B, C, h, w); 0 without a click.

    Query is (B, D, h, w), key (B, D, M, 1), value (B, C, M, 1).
    """
    scale = query.shape[1] ** -0.5
    # clicks before cells, so that the softmax runs over contiguous rows of cells
    energy = torch.einsum("bdm,bdn->bmn", key[..., 0] * scale, query.flatten(2))
    no_clicks = ~counts.any(dim=1)
    energy = energy.masked_fill((~counts & ~no_clicks[:, None])[:, :, None], -torch.inf)
    weights = energy.softmax(dim=1).masked_fill(no_clicks[:, None, None], 0)
    out = torch.einsum("bcm,bmn->bcn", value[..., 0], weights)
    return out.reshape(*out.shape[:2], *query.shape[-2:])


class _Head(nn.Module):
    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.query_conv = nn.Conv2d(channels, channels // reduction, 1)
        self.key_conv = nn.Conv2d(channels, channels // reduction, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, cells: Cells) -> Tensor:
        clicked = gather(x, cells)
        key, value = self.key_conv(clicked), self.value_conv(clicked)
        return self.gamma * spread(self.query_conv(x), key, value, cells.counts)


class Sgm(nn.Module):
    """Semantic graph module: (B, C, h, w) -> (B, C, h, w)."""

    def __init__(self, channels: int, reduction: int, heads: int, joined: bool = True) -> None:
        super().__init__()
        self.atts = nn.ModuleList(_Head(channels, reduction) for _ in range(heads))
        # without it the module returns its input until a gate has learned
        self.conv1 = (
            nn.Sequential()
            if not joined
            else nn.Sequential(
                nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
            )
        )

    def forward(self, x: Tensor, cells: Cells) -> Tensor:
        """Return x with the clicked cells' features spread over it."""
        heads = [head(x, cells) for head in self.atts]
        y: Tensor = self.conv1(x + torch.stack(heads).mean(dim=0))
        return y


class Hsgm(nn.Module):
    """High-resolution semantic graph module: 1/4 map and stem to a map at the stem's size.

    A 1x1 convolution and a bilinear resize commute, so queries are projected at 1/4 and then
    upsampled, and keys are sampled only at the clicks.
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

    def forward(self, high: Tensor, low: Tensor, cells: Cells) -> Tensor:
        """Return (B, out, H, W) for (B, high, h, w) and (B, low, H, W); cells are of the latter."""
        size = low.shape[-2:]
        if isinstance(self.fusion, _Light):
            fused: Tensor = self.fusion(high, low)
        else:
            fused = self.fusion(torch.cat([resize_bilinear(high, size), low], dim=1))
        query = resize_bilinear(self.query_conv(high), size)
        key, value = self.key_conv(sample(high, cells, size)), self.value_conv(gather(fused, cells))
        return fused + self.gamma * spread(query, key, value, cells.counts)


def sample(x: Tensor, cells: Cells, size: torch.Size) -> Tensor:
    """Return `gather` of x upsampled to `size`, without upsampling it."""
    height, width = size
    row = cells.places.div(width, rounding_mode="floor") * (2 / max(height - 1, 1)) - 1
    col = cells.places.remainder(width) * (2 / max(width - 1, 1)) - 1
    grid = torch.stack([col, row], dim=-1)[:, :, None].clamp(-1, 1)  # (B, M, 1, 2), as (x, y)
    # half precision is off by fractions of a cell
    precise = torch.promote_types(x.dtype, torch.float32)
    return F.grid_sample(x.to(precise), grid.to(precise), align_corners=True).to(x.dtype)


def _dense(high: int, low: int, out: int) -> nn.Sequential:
    """Return the released code's fusion of the upsampled map concatenated with the stem."""
    return nn.Sequential(
        nn.Conv2d(high + low, out, 3, padding=1),
        nn.BatchNorm2d(out),
        nn.ReLU(),
        nn.Conv2d(out, out, 3, padding=1),
        nn.BatchNorm2d(out),
        nn.ReLU(),
    )


class _Light(nn.Module):
    """A fusion at about a tenth of the cost, which matches the figures of the paper's Table 4."""

    def __init__(self, high: int, low: int, out: int) -> None:
        super().__init__()
        self.high = nn.Conv2d(high, out, 1, bias=False)
        self.low = nn.Conv2d(low, out, 1, bias=False)
        self.norm = nn.BatchNorm2d(out)
        self.smooth = Separable(out, out)

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        # equal to one 1x1 convolution of the concatenated maps, its first half computed at 1/4
        joined = resize_bilinear(self.high(high), low.shape[-2:]) + self.low(low)
        y: Tensor = self.smooth(torch.relu(self.norm(joined)))
        return y
