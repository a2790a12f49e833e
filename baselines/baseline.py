"""The base segmenter of Table 4 of CSFPN (BMVC 2023), with optional dense feature diffusion.

Without diffusion it is RITM's network, or f-BRS's if the clicks are concatenated with the colours.
Diffusion is a separate module at each of two scales, `fdm_low` and `fdm_high`, so that its cost can
be measured; it is dense and expensive. Its norms may start at 0, so that a network starts as the
one without diffusion that it is trained from.

The table's networks were never released. The published parameter counts are those of a module with
32 inner channels and no gate, on the trunk with input fusion. The scales are 1/4 and 1/2 according
to the caption but 1/8 and 1/2 here: CDNet diffuses at 1/8, and no module has the published cost at
1/4 and at 1/2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from baselines.fdm import Fdm, click_proximity
from baselines.parts import Parts
from isbench.nn.backbones.deeplab import DeepLab
from isbench.nn.backbones.lite import LiteTrunk
from isbench.nn.backbones.mini import Mini
from isbench.nn.backbones.ocr import Logits
from isbench.nn.inference.predictor import CropPredictor, answer_mask_guided, make_config
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.network import example_image, example_points
from isbench.nn.runtime.compute import build_networks
from isbench.nn.stem import conv1s, input_fusion, normalize, resize_bilinear
from isbench.nn.trunk import compute_logits, guidance_maps, make_head
from isbench.types import Runtime

Trunk: TypeAlias = DeepLab | LiteTrunk | Mini  # whose map at stride 8 can be transformed


class Baseline(nn.Module):
    """(B, 4 or 3, H, W) inputs and (B, 2K, 5) points to logits."""

    def __init__(self, trunk: Trunk, parts: Parts = Parts(), previous_mask: bool = True) -> None:
        super().__init__()
        self.previous_mask, maps = previous_mask, 3 if previous_mask else 2
        if parts.joined:
            self.rgb_conv = input_fusion(maps)
        else:
            self.maps_transform = conv1s(maps, min(64, trunk.low_channels))
        self.joined = parts.joined
        self.feature_extractor = trunk
        self.fdm_low = _make_fdm(trunk.channels, parts) if parts.low else None
        self.fdm_high = _make_fdm(trunk.channels, parts) if parts.high else None
        self.head = make_head(trunk)

    def forward_with_aux(self, inputs: Tensor, clicks: Tensor) -> Logits:
        """Return the logits at the inputs' size; these trunks have no auxiliary ones."""
        trunk, size = self.feature_extractor, (inputs.shape[-2], inputs.shape[-1])
        low = self._stem(inputs, clicks)  # (B, L, H/2, W/2)
        features = trunk.body(low, _make_diffuse(self.fdm_low, clicks, size))  # (B, C, H/4, W/4)
        if diffuse := _make_diffuse(self.fdm_high, clicks, size):
            features = diffuse(resize_bilinear(features, low.shape[-2:]))  # (B, C, H/2, W/2)
        return compute_logits(trunk, self.head, features, None, size)

    def _stem(self, inputs: Tensor, clicks: Tensor) -> Tensor:
        image = normalize(inputs[:, :3])
        guidance = guidance_maps(inputs, clicks, self.previous_mask)
        if self.joined:
            fused = self.rgb_conv(torch.cat([image, guidance], dim=1))
            return self.feature_extractor.stem(fused, None)
        return self.feature_extractor.stem(image, self.maps_transform(guidance))

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor]:
        """Return the logits (B, 1, H, W)."""
        return (self.forward_with_aux(inputs, clicks).main,)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image and clicks; see `isbench.nn.network.Network`."""
        return example_image(size, 4 if self.previous_mask else 3), example_points(size, points)


def _make_fdm(channels: int, parts: Parts) -> Fdm:
    return Fdm(channels, parts.inner, gated=False, gain=parts.gain)


def _make_diffuse(
    fdm: Fdm | None, clicks: Tensor, input_size: tuple[int, int]
) -> Callable[[Tensor], Tensor] | None:
    """Return a function that diffuses a map of an input of `input_size`, None without a module."""
    if fdm is None:
        return None
    return lambda x: fdm(x, click_proximity(clicks, input_size, x.shape[-2:])).features


def make_networks(
    trunk: Callable[[], Trunk], parts: Parts, previous_mask: bool, **options: Any
) -> dict[str, nn.Module]:
    """Return the network of a card and its options."""
    parts = replace(parts, joined=options.get("joined", False))
    return {"network": Baseline(trunk(), parts, previous_mask)}


def build_predictor(
    trunk: Callable[[], Trunk],
    parts: Parts,
    previous_mask: bool,
    *,
    runtime: Runtime,
    **options: Any,
) -> CropPredictor:
    """Return the predictor of a card, with RITM's inference."""
    make = partial(make_networks, trunk, parts, previous_mask, **options)
    networks = build_networks(make, runtime)
    config = make_config(options, Zoom(), runtime, previous_mask)
    return CropPredictor(config, partial(answer_mask_guided, networks["network"]))
