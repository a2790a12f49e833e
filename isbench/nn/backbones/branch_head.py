"""The OCR head of an HRNet on its branches before they are resized, in fewer operations.

The head's first layers are linear in the branches, and so is resizing: here the layers see the
coarse branches at their own size, and resizing takes place after them. The outputs are those of the
head up to rounding. For inference only, on backends that are not exact to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import fuse_conv_bn_weights

from isbench.nn.backbones.ocr import OcrOutput
from isbench.nn.stem import resize_bilinear

FINE = 2  # branches that are resized first: on the second one nothing would be saved
Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)

_TAPS = 3  # offsets of a 3x3 convolution's kernel along an axis


class BranchHead(nn.Module):
    """Computes the OCR head's outputs from the branches of an HRNet, with the head's weights.

    `widths` are the channels of the branches, from fine to coarse. Norms are folded into the layers
    before them, so weights that change later have no effect.
    """

    def __init__(
        self,
        widths: Sequence[int],
        aux_head: Any,
        conv3x3_ocr: Any,
        distribution: Any,
        cls_head: nn.Conv2d,
    ) -> None:
        super().__init__()
        fine, coarse = sum(widths[:FINE]), list(widths[FINE:])
        weight, bias = _fold(aux_head[0], aux_head[1])
        self.aux = _make_linear(weight[:, :fine], bias)
        self.aux_coarse = _make_coarse(weight[:, fine:], coarse)
        self.aux_last = _make_linear(aux_head[3].weight, aux_head[3].bias)
        weight, bias = _fold(conv3x3_ocr[0], conv3x3_ocr[1])
        self.ocr = _make_conv(weight[:, :fine], bias)
        self.ocr_coarse = _make_coarse(weight[:, fine:], coarse)
        self.context_block = distribution.object_context_block
        weight, bias = _fold(distribution.conv_bn_dropout[0], distribution.conv_bn_dropout[1][0])
        channels = weight.shape[1] // 2
        self.from_context = _make_conv(weight[:, :channels], bias)
        self.from_pixels = _make_linear(weight[:, channels:])
        self.cls_head = _make_linear(cls_head.weight, cls_head.bias)

    def forward(self, branches: Sequence[Tensor]) -> OcrOutput:
        """Return the outputs at the size of the first branch."""
        size, coarse = branches[0].shape[-2:], branches[FINE:]
        fine = torch.cat([resize_bilinear(branch, size) for branch in branches[:FINE]], dim=1)
        rows = [_make_resizing(branch.shape[-2], size[0]) for branch in coarse]
        cols = [_make_resizing(branch.shape[-1], size[1]) for branch in coarse]
        # channels are last from here on, as convolutions have them in memory
        parts = [_put_last(layer(x)) for layer, x in zip(self.aux_coarse, coarse, strict=True)]
        added = _resize(parts, [one[:, 1] for one in rows], [one[:, 1] for one in cols])
        aux = self.aux_last(torch.relu(self.aux(_put_last(fine)) + added))  # (B, H, W, 1)
        parts = [_place_taps(layer(x)) for layer, x in zip(self.ocr_coarse, coarse, strict=True)]
        added = _resize(parts, [one.flatten(1) for one in rows], [one.flatten(1) for one in cols])
        x = torch.relu(_put_last(self.ocr(fine)) + added)  # (B, H, W, C)
        mean = aux.flatten(1).softmax(dim=1)[:, None] @ x.flatten(1, 2)  # (B, 1, C)
        constant = self.from_context(self.context_block(mean.transpose(1, 2)[..., None]))
        x = torch.relu(self.from_pixels(x) + _put_last(constant))
        return OcrOutput(*(one.permute(0, 3, 1, 2) for one in (self.cls_head(x), aux, x)))


def _fold(convolution: Any, norm: Any) -> tuple[Tensor, Tensor]:
    """Return the weight and bias of a convolution that includes a norm's."""
    return fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )


def _make_conv(weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    """Return a convolution that keeps the size of maps."""
    out_channels, in_channels, kernel, _ = weight.shape
    made = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=bias is not None)
    return _set_values(made, weight, bias)


def _make_linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """Return a 1x1 convolution for maps whose channels are last."""
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    return _set_values(made, weight.flatten(1), bias)


def _set_values(made: Layer, weight: Tensor, bias: Tensor | None) -> Layer:
    made.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return made


def _make_coarse(weight: Tensor, widths: Sequence[int]) -> nn.ModuleList:
    """Return a layer per coarse branch: of a 3x3 convolution, with its taps as channels."""
    parts = torch.split(weight, list(widths), dim=1)
    return nn.ModuleList(_make_conv(_split_taps(part)) for part in parts)


def _put_last(maps: Tensor) -> Tensor:
    """Return (B, h, w, C) from (B, C, h, w)."""
    return maps.permute(0, 2, 3, 1)


def _split_taps(weight: Tensor) -> Tensor:
    """Return (O, I, k, k) as the weight of a 1x1 convolution to O channels for each tap."""
    return weight.permute(2, 3, 0, 1).flatten(0, 2)[:, :, None, None]  # (k * k * O, I, 1, 1)


def _place_taps(maps: Tensor) -> Tensor:
    """Return (B, 3 * h, 3 * w, O) from maps (B, 9 * O, h, w) of taps, their offsets outside."""
    taps = torch.unflatten(_put_last(maps), 3, (_TAPS, _TAPS, -1))  # (B, h, w, 3, 3, O)
    return taps.permute(0, 3, 1, 4, 2, 5).flatten(3, 4).flatten(1, 2)


def _resize(parts: Sequence[Tensor], rows: Sequence[Tensor], cols: Sequence[Tensor]) -> Tensor:
    """Return the sum (B, H, W, C) of parts (B, h, w, C), resized by matrices (H, h) and (W, w)."""
    wide = [matrix @ part for matrix, part in zip(cols, parts, strict=True)]  # (B, h, W, C)
    stacked = torch.cat([one.flatten(2) for one in wide], dim=1)
    whole: Tensor = torch.cat(list(rows), dim=1) @ stacked  # (B, H, W * C)
    return torch.unflatten(whole, 2, wide[0].shape[2:])


def _make_resizing(before: int, after: int) -> Tensor:
    """Return (after, 3, before): of what a linearly resized axis consists, with aligned corners.

    For each place of the resized axis the weights of its left neighbour, of itself and of its right
    neighbour; 0 for neighbours outside.
    """
    places = torch.arange(after)[:, None] + torch.arange(-1, 2)  # (after, 3)
    inside = (places >= 0) & (places < after)
    # a single place is at 0; otherwise the last term is too small to count
    positions = places * (before - 1) / (after - 1 + 1e-9)
    distances = (positions[:, :, None] - torch.arange(before)).abs()
    return F.relu(1 - distances) * inside[:, :, None]
