"""CSFPN on HRNet (BMVC 2023): RITM's network with click-guided propagation before its OCR head.

Written from the paper and equal to the released network under synthetic weights
(tests/test_nn.py). Attribute names are the keys of that code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from csfpn.propagation import Hsgm, Sgm, cells
from isbench.nn.clickmaps import disks
from isbench.nn.hrnet import HRNet, Sizes
from isbench.nn.ocr import Logits
from isbench.nn.stem import conv1s, normalised, raised

RADIUS = 5.0  # of the disks around clicks, in pixels of the input
REDUCTION, HEADS = 3, 3  # of the attention


class CsfpnHRNet(nn.Module):
    """(B, 4, H, W) inputs and (B, 2K, 3) points to logits.

    `released` keeps the released code's treatment of clicks at the border (csfpn.propagation).
    """

    def __init__(self, sizes: Sizes, released: bool = False) -> None:
        super().__init__()
        self.released = released
        self.maps_transform = conv1s(3)
        self.feature_extractor = HRNet(sizes)
        channels = self.feature_extractor.channels
        # under the released code's keys: there the graphs are parts of the feature extractor
        self.feature_extractor.att = Sgm(channels, REDUCTION, HEADS)
        self.feature_extractor.upatt = Hsgm(channels, 64, REDUCTION)

    def both(self, inputs: Tensor, clicks: Tensor) -> Logits:
        """Return the answer and the auxiliary one at the inputs' size, as training needs them."""
        extractor, size = self.feature_extractor, inputs.shape[-2:]
        drawn = disks(clicks, (size[0], size[1]), RADIUS)
        extra = self.maps_transform(torch.cat([inputs[:, 3:], drawn], dim=1))
        low = extractor.stem(normalised(inputs[:, :3]), extra)  # (B, 64, H/2, W/2)
        features = extractor.body(low)  # (B, C, H/4, W/4)
        aux = extractor.aux_head(features)
        at_4 = cells(clicks, (features.shape[-2], features.shape[-1]), 4, self.released)
        at_2 = cells(clicks, (low.shape[-2], low.shape[-1]), 2, self.released)
        sgm, hsgm = extractor.get_submodule("att"), extractor.get_submodule("upatt")
        features = hsgm(sgm(features, at_4), low, at_2)  # (B, C, H/2, W/2)
        main, aux = extractor.logits(features, aux)
        return Logits(raised(main, size), raised(aux, size))

    def forward(self, inputs: Tensor, clicks: Tensor) -> Tensor:
        """Return the logits (B, 1, H, W)."""
        return self.both(inputs, clicks).main
