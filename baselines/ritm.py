"""RITM's networks (Sofiiuk et al. 2021, arXiv:2102.06583): clicks and last answer as maps.

Written from the paper; equal to the official networks under synthetic weights (tests/test_nn.py).
Attribute names are the keys of the official checkpoints. Differs: what the official networks
compute without effect (see `isbench.nn.ocr`) is not computed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from isbench.nn.clickmaps import disks
from isbench.nn.deeplab import DeepLab, SeparableHead
from isbench.nn.hrnet import HRNet, Sizes
from isbench.nn.ocr import Logits
from isbench.nn.resnet import ResNet
from isbench.nn.stem import conv1s, normalised, raised

RADIUS = 5.0  # of the disks around clicks, in pixels of the input


def maps(inputs: Tensor, clicks: Tensor, previous_mask: bool) -> Tensor:
    """Return what Conv1S takes: the last probabilities, if taken, and disks around clicks."""
    drawn = disks(clicks, (inputs.shape[-2], inputs.shape[-1]), RADIUS)
    return torch.cat([inputs[:, 3:], drawn], dim=1) if previous_mask else drawn


class RitmHRNet(nn.Module):
    """RITM on HRNet and OCR: (B, 4 or 3, H, W) inputs and (B, 2K, 3) points to logits."""

    def __init__(self, sizes: Sizes, previous_mask: bool = True) -> None:
        super().__init__()
        self.previous_mask = previous_mask
        self.maps_transform = conv1s(3 if previous_mask else 2)
        self.feature_extractor = HRNet(sizes)

    def both(self, inputs: Tensor, clicks: Tensor) -> Logits:
        """Return the answer and the auxiliary one at the inputs' size, as training needs them."""
        extra = self.maps_transform(maps(inputs, clicks, self.previous_mask))
        low = self.feature_extractor.stem(normalised(inputs[:, :3]), extra)
        main, aux = self.feature_extractor.logits(self.feature_extractor.body(low))
        size = inputs.shape[-2:]
        return Logits(raised(main, size), raised(aux, size))

    def forward(self, inputs: Tensor, clicks: Tensor) -> Tensor:
        """Return the logits (B, 1, H, W)."""
        return self.both(inputs, clicks).main


class RitmDeepLab(nn.Module):
    """RITM on DeepLabV3+: (B, 4 or 3, H, W) inputs and (B, 2K, 3) points to logits."""

    def __init__(self, backbone: ResNet, width: int, previous_mask: bool = True) -> None:
        super().__init__()
        self.previous_mask = previous_mask
        self.maps_transform = conv1s(3 if previous_mask else 2)
        self.feature_extractor = DeepLab(backbone, width)
        self.head = SeparableHead(width)

    def forward(self, inputs: Tensor, clicks: Tensor) -> Tensor:
        """Return the logits (B, 1, H, W)."""
        extra = self.maps_transform(maps(inputs, clicks, self.previous_mask))
        features = self.feature_extractor(normalised(inputs[:, :3]), extra)
        return raised(self.head(features), inputs.shape[-2:])
