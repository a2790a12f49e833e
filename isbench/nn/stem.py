"""Inputs of networks of the RITM family: normalised colours, and click maps added to the stem."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet statistics of RGB in [0, 1]


def normalize(image: Tensor) -> Tensor:
    """Normalise RGB in [0, 1], (B, 3, H, W), with ImageNet's mean and standard deviation."""
    mean = image.new_tensor(MEAN).view(1, 3, 1, 1)
    std = image.new_tensor(STD).view(1, 3, 1, 1)
    return (image - mean) / std


class Scale(nn.Module):
    """Multiplies by the absolute value of a learned scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), 0.05))

    def forward(self, x: Tensor) -> Tensor:
        """Return x, scaled."""
        return x * self.scale.abs()


class ZeroConv2d(nn.Conv2d):
    """A convolution that starts at zero: what it adds changes nothing before it has learned.

    A part that ends in one can be inserted into a trained network without changing its answers.
    """

    def reset_parameters(self) -> None:
        """Set weight and bias to zero."""
        nn.init.zeros_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


def conv1s(maps: int, channels: int = 64) -> nn.Sequential:
    """Return RITM's Conv1S: (B, maps, H, W) -> (B, channels, H/2, W/2), to add to the stem."""
    return nn.Sequential(
        nn.Conv2d(maps, 16, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(16, channels, 3, stride=2, padding=1),
        Scale(),
    )


def input_fusion(maps: int) -> nn.Sequential:
    """Return f-BRS's alternative to Conv1S: (B, 3 + maps, H, W), colours first, -> (B, 3, H, W).

    The output replaces the normalised image; nothing is added to the stem.
    """
    return nn.Sequential(
        nn.Conv2d(3 + maps, 8, 1), nn.LeakyReLU(0.2), nn.BatchNorm2d(8), nn.Conv2d(8, 3, 1)
    )


def add_maps(x: Tensor, extra: Tensor | None) -> Tensor:
    """Add maps (B, D, h, w) to the first D channels of a stem, (B, C, h, w) [RITM, v1s]."""
    if extra is None:
        return x
    return x + F.pad(extra, (0, 0, 0, 0, 0, x.shape[1] - extra.shape[1]))


def resize_bilinear(x: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Resize (B, C, h, w) to (B, C, *size), bilinearly with aligned corners, as RITM does."""
    if x.shape[-2:] == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)


def resize_centred(x: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Resize (B, C, h, w) to (B, C, *size), bilinearly and aligned by the centres of pixels."""
    if x.shape[-2:] == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
