"""The base segmenter of Table 4 of CSFPN (BMVC 2023), and feature diffusion on it, dense and dear.

Without diffusion it is RITM's network, or with clicks that join the colours, f-BRS's. Diffusion is
a part of its own at each of two scales, `fdm_low` and `fdm_high`, so that its cost can be told.

The table's networks were never released. Its parameters are those of the module with 32 channels
inside and no gate, on the trunk with input fusion; its scales, 1/4 and 1/2 by the caption, are 1/8
and 1/2 here: 1/8 is where CDNet diffuses, and no module costs what is printed at 1/4 and at 1/2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from baselines.fdm import Fdm, click_proximity
from isbench.nn.backbones.deeplab import DeepLab
from isbench.nn.backbones.mini import Mini
from isbench.nn.backbones.ocr import Logits
from isbench.nn.inference.predictor import CropPredictor, answer_mask_guided, make_config
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.runtime.compute import build_network
from isbench.nn.stem import conv1s, input_fusion, normalize, resize_bilinear
from isbench.nn.trunk import compute_logits, deeplab, guidance_maps, make_head
from isbench.types import Runtime


@dataclass(frozen=True)
class Parts:
    """What the base segmenter is made of beside its trunk."""

    low: bool = False  # diffusion at 1/8
    high: bool = False  # diffusion at 1/2, where the head then stands as well
    inner: int = 32  # channels within either
    joined: bool = False  # clicks join the colours [f-BRS], else the stem [RITM]


class Baseline(nn.Module):
    """(B, 4 or 3, H, W) inputs and (B, 2K, 3) points to logits."""

    def __init__(
        self, trunk: DeepLab | Mini, parts: Parts = Parts(), previous_mask: bool = True
    ) -> None:
        super().__init__()
        self.previous_mask, drawn = previous_mask, 3 if previous_mask else 2
        if parts.joined:
            self.rgb_conv = input_fusion(drawn)
        else:
            self.maps_transform = conv1s(drawn, min(64, trunk.low_channels))
        self.joined = parts.joined
        self.feature_extractor = trunk
        self.fdm_low = _diffusion(trunk.channels, parts.inner) if parts.low else None
        self.fdm_high = _diffusion(trunk.channels, parts.inner) if parts.high else None
        self.head = make_head(trunk)

    def forward_with_aux(self, inputs: Tensor, clicks: Tensor) -> Logits:
        """Return the answer at the inputs' size; these trunks have no auxiliary one."""
        trunk, size = self.feature_extractor, (inputs.shape[-2], inputs.shape[-1])
        low = self._stem(inputs, clicks)  # (B, L, H/2, W/2)
        features = trunk.body(low, _diffusing(self.fdm_low, clicks, size))  # (B, C, H/4, W/4)
        if diffuse := _diffusing(self.fdm_high, clicks, size):
            features = diffuse(resize_bilinear(features, low.shape[-2:]))  # (B, C, H/2, W/2)
        return compute_logits(trunk, self.head, features, None, size)

    def _stem(self, inputs: Tensor, clicks: Tensor) -> Tensor:
        image, drawn = normalize(inputs[:, :3]), guidance_maps(inputs, clicks, self.previous_mask)
        if self.joined:
            fused = self.rgb_conv(torch.cat([image, drawn], dim=1))
            return self.feature_extractor.stem(fused, None)
        return self.feature_extractor.stem(image, self.maps_transform(drawn))

    def forward(self, inputs: Tensor, clicks: Tensor) -> Tensor:
        """Return the logits (B, 1, H, W)."""
        return self.forward_with_aux(inputs, clicks).main


def _diffusion(channels: int, inner: int) -> Fdm:
    return Fdm(channels, inner, gated=False)


def _diffusing(
    fdm: Fdm | None, clicks: Tensor, full: tuple[int, int]
) -> Callable[[Tensor], Tensor] | None:
    """Return what a module does to a map of an input of the size `full`; None without one."""
    if fdm is None:
        return None
    return lambda x: fdm(x, click_proximity(clicks, full, x.shape[-2:])).features


def make_network(depth: int | None, parts: Parts, **options: Any) -> Baseline:
    """Return the network of a card; no depth stands for the mini trunk."""
    parts = replace(parts, joined=options.get("joined", False))
    if depth is None:
        return Baseline(Mini(), parts)
    return Baseline(deeplab(depth, 128), parts, previous_mask=False)


def build_predictor(
    depth: int | None, parts: Parts, *, runtime: Runtime, **options: Any
) -> CropPredictor:
    """Return the predictor of a card, which answers as RITM does."""
    made = build_network(partial(make_network, depth, parts, **options), runtime)
    return CropPredictor(make_config(options, Zoom(), runtime), partial(answer_mask_guided, made))
