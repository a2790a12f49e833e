"""DeepLabV3+ (Chen et al., arXiv:1802.02611) of output stride 16, as FocusCut and FCA-Net build it.

The last layer of its ResNet is dilated by 2, 4 and 8 (multi-grid) instead of strided. Attribute
names are the keys of the official checkpoints. Not here: DeepLabV3+ of the RITM family (`deeplab`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from isbench.nn.backbones.res2net import Res2Block
from isbench.nn.backbones.resnet import Bottleneck
from isbench.nn.stem import resize_bilinear

Block = type[Bottleneck] | type[Res2Block]
BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}  # of each layer, by depth
SKIP, LAST = 256, 2048  # channels of the first layer and of the last
WIDTH = 256  # channels of the decoder
_MULTI_GRID = (2, 4, 8)  # dilations of the blocks of the last layer
_SKIP_WIDTH = 48  # channels that the decoder takes from the first layer


def make_layers(block: Block, blocks: Sequence[int], stem: int = 64) -> list[nn.Sequential]:
    """Return the four layers of a ResNet: (B, stem, h, w) to (B, LAST, h/4, w/4)."""
    channels, layers = stem, []
    for width, count, stride in zip((64, 128, 256, 512), blocks, (1, 2, 2, 1), strict=True):
        dilations = _MULTI_GRID if width == 512 else (1,) * count
        inputs = (channels, *[width * block.expansion] * (count - 1))
        strides = (stride, *[1] * (count - 1))
        parts = zip(inputs, strides, dilations, strict=True)
        layers.append(nn.Sequential(*(block(k, width, s, (d, d)) for k, s, d in parts)))
        channels = width * block.expansion
    return layers


def conv_bn_relu(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1
) -> list[nn.Module]:
    """Return a convolution of unchanged size (but for the stride), norm and ReLU."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(out_channels), nn.ReLU()]


class _Scale(nn.Module):
    """A convolution of the pyramid: 1x1, or 3x3 with a dilation."""

    def __init__(self, in_channels: int, dilation: int) -> None:
        super().__init__()
        kernel = 3 if dilation else 1
        self.atrous_conv = nn.Conv2d(
            in_channels, WIDTH, kernel, 1, dilation, dilation or 1, bias=False
        )
        self.bn = nn.BatchNorm2d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.atrous_conv(x)))


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling: (B, in_channels, h, w) to (B, WIDTH, h, w)."""

    def __init__(self, in_channels: int, dilations: tuple[int, int, int]) -> None:
        super().__init__()
        for number, dilation in enumerate((0, *dilations), start=1):
            self.add_module(f"aspp{number}", _Scale(in_channels, dilation))
        self.global_avg_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), *conv_bn_relu(in_channels, WIDTH, 1)
        )
        self.conv1 = nn.Conv2d(5 * WIDTH, WIDTH, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, WIDTH, h, w)."""
        scales = [self.get_submodule(f"aspp{number}")(x) for number in range(1, 5)]
        mean = resize_bilinear(self.global_avg_pool(x), x.shape[-2:])
        return torch.relu(self.bn1(self.conv1(torch.cat([*scales, mean], dim=1))))


class Decoder(nn.Module):
    """(B, WIDTH, h, w) of the pyramid and (B, SKIP, 4h, 4w) to (B, WIDTH, 4h, 4w)."""

    def __init__(self) -> None:
        super().__init__()
        self.side_conv = nn.Sequential(*conv_bn_relu(SKIP, _SKIP_WIDTH, 1))
        self.merge_conv = nn.Sequential(
            *conv_bn_relu(WIDTH + _SKIP_WIDTH, WIDTH, 3), *conv_bn_relu(WIDTH, WIDTH, 3)
        )

    def forward(self, scales: Tensor, skip: Tensor) -> Tensor:
        """Return the features at the size of `skip`."""
        scales = resize_bilinear(scales, skip.shape[-2:])
        y: Tensor = self.merge_conv(torch.cat([scales, self.side_conv(skip)], dim=1))
        return y


class Prediction(nn.Module):
    """The last convolutions, from features to logits."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.pred_conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, 1, h, w)."""
        y: Tensor = self.pred_conv(x)
        return y
