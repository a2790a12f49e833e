"""RITM (Sofiiuk et al. 2021, arXiv:2102.06583): clicks and last answer as maps, one network.

Written from the paper; equal to the official networks under synthetic weights
(tests/nn/test_nn.py).
Attribute names are the keys of the official checkpoints. Differs: what the official networks
compute without effect (see `isbench.nn.backbones.ocr`) is not computed. `ritm-mini` is this
project's, with RITM's every rule around another trunk; the paper's Table 3 calls it BS.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from isbench.nn.backbones.ocr import Logits
from isbench.nn.inference.predictor import Passing, mask_guided, view
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.runtime.compute import ready
from isbench.nn.stem import conv1s, normalised
from isbench.nn.trunk import Trunk, head_for, logits_of, maps, rough
from isbench.types import Runtime


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
        return logits_of(trunk, self.head, features, rough(trunk, features), size)

    def forward(self, inputs: Tensor, clicks: Tensor) -> Tensor:
        """Return the logits (B, 1, H, W)."""
        return self.both(inputs, clicks).main


def network(trunk: Callable[[], Trunk], **options: Any) -> Ritm:
    """Return the network of a card and its options."""
    return Ritm(trunk(), options["previous_mask"])


def build(trunk: Callable[[], Trunk], *, runtime: Runtime, **options: Any) -> Passing:
    """Return the predictor of a card: RITM's zoom-in, flip and threshold unless options differ."""
    made = ready(partial(network, trunk, **options), runtime)
    return Passing(view(options, Zoom(), runtime), partial(mask_guided, made))
