"""Dilated ResNets of output stride 8 (He et al., arXiv:1512.03385; Gluon's versions 1b and 1s).

Attribute names are the keys of the official checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from isbench.nn.stem import add_maps


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    expansion = 1

    def __init__(
        self, in_channels: int, width: int, stride: int = 1, dilations: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__()
        first, second = dilations
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, first, first, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, second, second, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, width, H/stride, W/stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + _apply_shortcut(self.downsample, x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut; the stride is the 3x3's."""

    expansion = 4

    def __init__(
        self, in_channels: int, width: int, stride: int = 1, dilations: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__()
        dilation = dilations[0]
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(in_channels, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 4 * width, H/stride, W/stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + _apply_shortcut(self.downsample, x))


Block = type[BasicBlock] | type[Bottleneck]


def chain(
    block: Block, in_channels: int, width: int, blocks: int, stride: int = 1
) -> nn.Sequential:
    """Return a sequence of blocks; the first has the stride and, if needed, a projection."""
    out_channels = width * block.expansion
    rest = (block(out_channels, width) for _ in range(blocks - 1))
    return nn.Sequential(block(in_channels, width, stride), *rest)


def _make_dilated_chain(
    block: Block, in_channels: int, width: int, blocks: int, dilation: int
) -> nn.Sequential:
    """Return a chain that is dilated instead of strided, with the same receptive field."""
    out_channels = width * block.expansion
    first_dilation = max(1, dilation // 2)
    first_block = block(in_channels, width, 1, (first_dilation, dilation))
    rest = (block(out_channels, width, 1, (dilation, dilation)) for _ in range(blocks - 1))
    return nn.Sequential(first_block, *rest)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


def _apply_shortcut(downsample: Callable[[Tensor], Tensor] | None, x: Tensor) -> Tensor:
    return x if downsample is None else downsample(x)


class Features(NamedTuple):
    """Backbone features: the first layer at stride 4 and the last at stride 8."""

    skip: Tensor
    last: Tensor


class ResNet(nn.Module):
    """ResNet-34 v1b (basic blocks, 7x7 stem) or ResNet-50/101 v1s (bottlenecks, deep stem)."""

    def __init__(self, block: Block, blocks: Sequence[int]) -> None:
        super().__init__()
        deep = block is Bottleneck
        stem = 128 if deep else 64
        self.conv1 = make_deep_stem(3, 64) if deep else nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        widths = [width * block.expansion for width in (64, 128, 256, 512)]
        self.low_channels = stem  # channels of the stem
        self.widths = widths[0], widths[3]  # channels of `skip` and of `last`
        self.layer1 = chain(block, stem, 64, blocks[0])
        self.layer2 = chain(block, widths[0], 128, blocks[1], stride=2)
        self.layer3 = _make_dilated_chain(block, widths[1], 256, blocks[2], dilation=2)
        self.layer4 = _make_dilated_chain(block, widths[2], 512, blocks[3], dilation=4)

    def stem(self, image: Tensor, extra: Tensor | None = None) -> Tensor:
        """Return the stem of a normalised image with the click maps added, at stride 2."""
        return add_maps(torch.relu(self.bn1(self.conv1(image))), extra)

    def forward(self, low: Tensor) -> Features:
        """Return the features of a stem."""
        skip = self.layer1(self.maxpool(low))
        return Features(skip, self.layer4(self.layer3(self.layer2(skip))))


def make_deep_stem(in_channels: int, width: int) -> nn.Sequential:
    """Return three convolutions, (B, in_channels, H, W) to (B, 2 width, H/2, W/2)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, 1, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, 1, 1, bias=False),
    )
