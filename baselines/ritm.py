"""RITM (Sofiiuk et al. 2021, arXiv:2102.06583): one network with clicks and previous mask as maps.

Written from the paper; equal to the official networks under synthetic weights
(tests/nn/test_official_networks.py). Attribute names are the keys of the official checkpoints.
Differs: parts of the official networks without effect (see `isbench.nn.backbones.ocr`) are not
computed. `ritm-mini` is this project's model, RITM on another trunk, and corresponds to BS in the
paper's Table 3.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from isbench.nn.backbones.ocr import Logits
from isbench.nn.inference.predictor import CropPredictor, answer_mask_guided, make_config
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.network import example_image, example_points
from isbench.nn.runtime.compute import build_networks
from isbench.nn.stem import conv1s, normalize
from isbench.nn.trunk import (
    CHECKPOINT_CONFIG,
    Trunk,
    guidance_maps,
    make_head,
    segment,
    with_branch_head,
)
from isbench.types import Runtime


class Ritm(nn.Module):
    """(B, 4 or 3, H, W) inputs and (B, 2K, 5) points to logits, on any trunk."""

    def __init__(self, trunk: Trunk, previous_mask: bool = True) -> None:
        super().__init__()
        self.previous_mask = previous_mask
        self.checkpoint_config = {**CHECKPOINT_CONFIG, "with_prev_mask": previous_mask}
        self.maps_transform = conv1s(3 if previous_mask else 2, min(64, trunk.low_channels))
        self.feature_extractor = trunk
        self.head = make_head(trunk)

    def forward_with_aux(self, inputs: Tensor, clicks: Tensor) -> Logits:
        """Return the main and auxiliary logits at the inputs' size."""
        trunk = self.feature_extractor
        extra = self.maps_transform(guidance_maps(inputs, clicks, self.previous_mask))
        low = trunk.stem(normalize(inputs[:, :3]), extra)
        return segment(trunk, self.head, low, (inputs.shape[-2], inputs.shape[-1]))

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor]:
        """Return the logits (B, 1, H, W)."""
        return (self.forward_with_aux(inputs, clicks).main,)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image and clicks; see `isbench.nn.network.Network`."""
        return example_image(size, 4 if self.previous_mask else 3), example_points(size, points)

    def for_inference(self) -> nn.Module:
        """Return this network in fewer operations; see `isbench.nn.network.Network`."""
        return with_branch_head(self)


def make_networks(trunk: Callable[[], Trunk], **options: Any) -> dict[str, nn.Module]:
    """Return the network of a card and its options."""
    return {"network": Ritm(trunk(), options["previous_mask"])}


def build_predictor(
    trunk: Callable[[], Trunk], *, runtime: Runtime, **options: Any
) -> CropPredictor:
    """Return the predictor of a card, with RITM's zoom-in, flip and threshold as defaults."""
    networks = build_networks(partial(make_networks, trunk, **options), runtime)
    config = make_config(options, Zoom(), runtime, options["previous_mask"])
    return CropPredictor(config, partial(answer_mask_guided, networks["network"]))
