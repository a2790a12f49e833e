"""DeepLabV3+ (Chen et al., arXiv:1802.02611) on a dilated ResNet, as the RITM family builds it.

Attribute names are the keys of the official checkpoints, including the spelling "concurent".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from isbench.nn.backbones.resnet import ResNet
from isbench.nn.stem import resize_bilinear


def _conv_bn_relu(in_channels: int, out_channels: int, dilation: int = 0) -> nn.Sequential:
    """Return a 1x1 convolution, or a dilated 3x3 one, with norm and ReLU."""
    kernel = 3 if dilation else 1
    conv = nn.Conv2d(in_channels, out_channels, kernel, 1, dilation, dilation or 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())


class Separable(nn.Module):
    """A depthwise 3x3 convolution, then a 1x1 convolution, norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, 1, 1, groups=in_channels, bias=False),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, H, W)."""
        y: Tensor = self.body(x)
        return y


class _GlobalPooling(nn.Module):
    """Global average pooling, broadcast back to the size of the map."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.gap = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_conv_bn_relu(in_channels, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return resize_bilinear(self.gap(x), x.shape[-2:])


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling: five parallel branches of different receptive fields."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        scales = [
            _conv_bn_relu(in_channels, out_channels, dilation) for dilation in (0, 12, 24, 36)
        ]
        self.concurent = nn.ModuleList([*scales, _GlobalPooling(in_channels, out_channels)])
        self.project = nn.Sequential(
            *_conv_bn_relu(5 * out_channels, out_channels),
            nn.Dropout(0.5 if out_channels > 128 else 0.2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, H, W)."""
        y: Tensor = self.project(torch.cat([scale(x) for scale in self.concurent], dim=1))
        return y


class _Skip(nn.Module):
    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.skip_project = _conv_bn_relu(in_channels, 32)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.skip_project(x)
        return y


class _Decoder(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            Separable(in_channels, out_channels),
            Separable(out_channels, out_channels),
            nn.Conv2d(out_channels, out_channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return y


class DeepLab(nn.Module):
    """Backbone and decoder: stem (B, low_channels, H/2, W/2), body (B, channels, H/4, W/4)."""

    def __init__(self, backbone: ResNet, width: int) -> None:
        super().__init__()
        skip, last = backbone.widths
        self.channels, self.low_channels = width, backbone.low_channels
        self.backbone = backbone
        self.aspp = Aspp(last, width)
        self.skip_project = _Skip(skip)
        self.head = _Decoder(width + 32, width)

    def stem(self, image: Tensor, extra: Tensor | None) -> Tensor:
        """Return the backbone's stem with the click maps added."""
        return self.backbone.stem(image, extra)

    def body(self, low: Tensor, coarse: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return the decoder's features of a stem; `coarse` may transform the map at stride 8."""
        y: Tensor = self.head(self.join_scales(low, coarse))
        return y

    def join_scales(self, low: Tensor, coarse: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return the decoder's input, (B, channels + 32, H/4, W/4); see `body`."""
        features = self.backbone(low)
        scales = self.aspp(features.last)
        skip = self.skip_project(features.skip)
        scales = resize_bilinear(scales if coarse is None else coarse(scales), skip.shape[-2:])
        return torch.cat([scales, skip], dim=1)


class SeparableHead(nn.Module):
    """Features (B, width, h, w) to logits (B, outputs, h, w)."""

    def __init__(
        self,
        width: int,
        outputs: int = 1,
        last_layer: Callable[[int, int, int], nn.Module] = nn.Conv2d,
    ) -> None:
        super().__init__()
        half = width // 2
        self.layers = nn.Sequential(
            Separable(width, half), Separable(half, half), last_layer(half, outputs, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        y: Tensor = self.layers(x)
        return y
