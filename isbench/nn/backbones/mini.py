"""The light trunk of the `*-mini` models: a small ResNet with a separable decoder, by this project.

It uses dense 3x3 convolutions, which a CPU runs several times faster per multiplication than
depthwise ones; most of the weights are at strides 16 and 32, where they cost the least. It replaces
HRNet or DeepLabV3+ of the large models; everything around it is the same.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from isbench.nn.backbones.deeplab import Separable
from isbench.nn.backbones.pyramid import join_scales
from isbench.nn.backbones.resnet import BasicBlock, chain
from isbench.nn.stem import add_maps

LOW, WIDTHS, BLOCKS = 32, (48, 96, 160, 160), 2  # stem channels; strides 4 to 32; blocks per stride


class Mini(nn.Module):
    """Trunk: stem (B, low_channels, H/2, W/2) and body (B, channels, H/4, W/4)."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.channels, self.low_channels = channels, LOW
        self.conv1 = nn.Conv2d(3, LOW, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(LOW)
        widths = zip((LOW, *WIDTHS), WIDTHS, strict=False)
        self.layers = nn.ModuleList(
            chain(BasicBlock, in_channels, width, BLOCKS, stride=2) for in_channels, width in widths
        )
        self.context = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(WIDTHS[-1], channels, 1), nn.ReLU()
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in WIDTHS)
        self.smooth = nn.ModuleList(Separable(channels, channels) for _ in WIDTHS)

    def stem(self, image: Tensor, extra: Tensor | None) -> Tensor:
        """Return the stem of a normalised image with the click maps added."""
        return add_maps(torch.relu(self.bn1(self.conv1(image))), extra)

    def body(self, low: Tensor, coarse: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return the decoder's features of a stem; `coarse` may transform the map at stride 8."""
        scales = []  # strides 4, 8, 16, 32
        for layer in self.layers:
            low = layer(low)
            scales.append(low)
        joined = join_scales(scales, self.context, self.laterals, self.smooth, coarse)
        y: Tensor = self.smooth[0](joined)
        return y
