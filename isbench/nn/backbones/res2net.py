"""Res2Net-101-26w4s, version 1b (Gao et al., arXiv:1904.01169): its block, stem and shortcut.

Attribute names are the keys of the official checkpoints. `deeplab16.make_layers` chains the blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SCALES = 4  # parts of the channels, each convolved once more than the one before
_BASE = 26  # channels of a part where a ResNet's block has 64


class Res2Block(nn.Module):
    """A bottleneck whose 3x3 convolution is a hierarchy over four parts of the channels.

    In the first block of a layer, whose channels or size change, the parts are convolved
    independently, and the last one is average-pooled if the layer has a stride.
    """

    expansion = 4

    def __init__(
        self, in_channels: int, width: int, stride: int = 1, dilations: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__()
        part, dilation, out_channels = width * _BASE // 64, dilations[0], 4 * width
        self.is_first, self.stride = in_channels != out_channels or stride != 1, stride
        self.conv1 = nn.Conv2d(in_channels, _SCALES * part, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(_SCALES * part)
        self.convs = nn.ModuleList(
            nn.Conv2d(part, part, 3, stride, dilation, dilation, bias=False)
            for _ in range(_SCALES - 1)
        )
        self.bns = nn.ModuleList(nn.BatchNorm2d(part) for _ in range(_SCALES - 1))
        self.conv3 = nn.Conv2d(_SCALES * part, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = (
            _make_shortcut(in_channels, out_channels, stride) if self.is_first else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 4 * width, H/stride, W/stride)."""
        *parts, last = torch.relu(self.bn1(self.conv1(x))).chunk(_SCALES, dim=1)
        found: list[Tensor] = []
        for conv, norm, part in zip(self.convs, self.bns, parts, strict=True):
            joined = part if self.is_first or not found else part + found[-1]
            found.append(torch.relu(norm(conv(joined))))
        if self.stride > 1:
            last = F.avg_pool2d(last, 3, self.stride, 1)
        y = self.bn3(self.conv3(torch.cat([*found, last], dim=1)))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


def _make_shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
    )
