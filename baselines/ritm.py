"""RITM's network (Sofiiuk et al. 2021, arXiv:2102.06583): clicks and last answer as maps.

Written from the paper; equal to the official networks under synthetic weights (tests/test_nn.py).
Attribute names are the keys of the official checkpoints. Differs: what the official networks
compute without effect (see `isbench.nn.ocr`) is not computed.
"""

from __future__ import annotations

from torch import Tensor, nn

from isbench.nn.ocr import Logits
from isbench.nn.stem import conv1s, normalised
from isbench.nn.trunk import Trunk, answered, head_for, maps, rough


class Ritm(nn.Module):
    """(B, 4 or 3, H, W) inputs and (B, 2K, 3) points to logits, on any trunk."""

    def __init__(self, trunk: Trunk, previous_mask: bool = True) -> None:
        super().__init__()
        self.previous_mask = previous_mask
        self.maps_transform = conv1s(3 if previous_mask else 2, min(64, trunk.low_channels))
        self.feature_extractor = trunk
        self.head = head_for(trunk)

    def both(self, inputs: Tensor, clicks: Tensor) -> Logits:
        """Return the answer and the auxiliary one at the inputs' size, as training needs them."""
        trunk = self.feature_extractor
        extra = self.maps_transform(maps(inputs, clicks, self.previous_mask))
        features = trunk.body(trunk.stem(normalised(inputs[:, :3]), extra))
        size = inputs.shape[-2], inputs.shape[-1]
        return answered(trunk, self.head, features, rough(trunk, features), size)

    def forward(self, inputs: Tensor, clicks: Tensor) -> Tensor:
        """Return the logits (B, 1, H, W)."""
        return self.both(inputs, clicks).main
