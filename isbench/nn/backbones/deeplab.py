"""DeepLabV3+ (Chen et al., arXiv:1802.02611) on a dilated ResNet, as the RITM family builds it.

Attribute names are the keys of the official checkpoints ("concurent" is spelled so there).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from isbench.nn.backbones.resnet import ResNet
from isbench.nn.stem import resize_bilinear


def _conv_bn_relu(inside: int, outside: int, dilation: int = 0) -> nn.Sequential:
    """Return a 1x1 convolution, or a dilated 3x3 one, with norm and ReLU."""
    kernel = 3 if dilation else 1
    conv = nn.Conv2d(inside, outside, kernel, 1, dilation, dilation or 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outside), nn.ReLU())


class Separable(nn.Module):
    """A 3x3 convolution a channel, then a 1x1 one over channels, norm and ReLU."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inside, inside, 3, 1, 1, groups=inside, bias=False),
            nn.Conv2d(inside, outside, 1, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outside, H, W)."""
        y: Tensor = self.body(x)
        return y


class _Pooled(nn.Module):
    """The mean over the whole map, spread over it again."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.gap = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_conv_bn_relu(inside, outside))

    def forward(self, x: Tensor) -> Tensor:
        return resize_bilinear(self.gap(x), x.shape[-2:])


class Aspp(nn.Module):
    """The same map seen at five scales."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        scales = [_conv_bn_relu(inside, outside, dilation) for dilation in (0, 12, 24, 36)]
        self.concurent = nn.ModuleList([*scales, _Pooled(inside, outside)])
        self.project = nn.Sequential(
            *_conv_bn_relu(5 * outside, outside), nn.Dropout(0.5 if outside > 128 else 0.2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outside, H, W)."""
        y: Tensor = self.project(torch.cat([scale(x) for scale in self.concurent], dim=1))
        return y


class _Skip(nn.Module):
    def __init__(self, inside: int) -> None:
        super().__init__()
        self.skip_project = _conv_bn_relu(inside, 32)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.skip_project(x)
        return y


class _Decoder(nn.Module):
    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            Separable(inside, outside), Separable(outside, outside), nn.Conv2d(outside, outside, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return y


class DeepLab(nn.Module):
    """Backbone and decoder: stem (B, low_channels, H/2, W/2) and body (B, channels, H/4, W/4)."""

    def __init__(self, backbone: ResNet, width: int) -> None:
        super().__init__()
        skip, last = backbone.widths
        self.channels, self.low_channels = width, backbone.low_channels
        self.backbone = backbone
        self.aspp = Aspp(last, width)
        self.skip_project = _Skip(skip)
        self.head = _Decoder(width + 32, width)

    def stem(self, image: Tensor, extra: Tensor | None) -> Tensor:
        """Return the backbone's stem with the clicks' maps added."""
        return self.backbone.stem(image, extra)

    def body(self, low: Tensor, coarse: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return the decoder's features of a stem; `coarse` may change the map at 1/8 within."""
        features = self.backbone(low)
        scales = self.aspp(features.last)
        skip = self.skip_project(features.skip)
        scales = resize_bilinear(scales if coarse is None else coarse(scales), skip.shape[-2:])
        y: Tensor = self.head(torch.cat([scales, skip], dim=1))
        return y


class SeparableHead(nn.Module):
    """Features (B, width, h, w) to maps (B, outputs, h, w), logits without activation."""

    def __init__(self, width: int, outputs: int = 1) -> None:
        super().__init__()
        half = width // 2
        self.layers = nn.Sequential(
            Separable(width, half), Separable(half, half), nn.Conv2d(half, outputs, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps."""
        y: Tensor = self.layers(x)
        return y
