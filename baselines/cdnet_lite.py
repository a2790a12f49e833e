"""CDNet's two diffusions inserted into RITM's network, so that only the idea differs from RITM.

The network is RITM's, with the previous mask as an input and RITM's keys. CDNet's modules are
added so that they change nothing before training: the norms of FDM start with weight 0, and PDM is
weighted by a gate that starts at 0. The gate of FDM and the latent answers start as constants, so
that their losses do not disturb the features at first. Losses are CDNet's.

PDM as released replaces the logits by s + d, where s is the prediction in [-1, 1] and d what
diffused. A gate between the logits and s + d would never open: s + d is at most 2 away from clicks,
so every sure prediction would lose by it. Here 2 * gate * d is added to the logits. Where the
network is unsure, a logit is about 2 * s: there a gate of 1 decides as the released module does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from baselines.cdnet import (
    LATENTS,
    CdnetOutput,
    compute_extra_loss,
    diffuse_features,
    join_disks,
)
from baselines.fdm import Fdm
from baselines.pdm import diffuse_pixels
from isbench.nn.backbones.deeplab import SeparableHead
from isbench.nn.backbones.lite import LiteTrunk
from isbench.nn.backbones.mini import Mini
from isbench.nn.clickmaps import draw_disks
from isbench.nn.inference.predictor import CropPredictor, answer_mask_guided, make_config
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.network import example_image, example_points
from isbench.nn.runtime.compute import build_networks
from isbench.nn.stem import ZeroConv2d, conv1s, normalize, resize_bilinear
from isbench.nn.trunk import CHECKPOINT_CONFIG, RADIUS
from isbench.types import Runtime

_RELEASED = 2.0  # with a gate of 1, unsure pixels are decided as by the released module
_SPREAD = 1.0  # largest logit of a latent answer before training


class LatentLayer(ZeroConv2d):
    """The last layer of the latent answers, which starts with one constant for each of them.

    A head that starts at random has larger gradients than the mask and disturbs the features. With
    equal constants, all latent answers would stay equal, since only the best one is trained.
    """

    def reset_parameters(self) -> None:
        """Set the weight to zero and the biases to logits of different signs."""
        super().reset_parameters()
        assert self.bias is not None
        with torch.no_grad():
            self.bias.copy_(torch.linspace(-_SPREAD, _SPREAD, len(self.bias)))


class CdnetLite(nn.Module):
    """(B, 4 or 3, H, W) inputs and (B, 2K, 5) points to logits refined by pixel diffusion.

    Without `previous_mask` the inputs are colours only, and the previous mask is blank, as in all
    samples of CDNet's training; the weights are the same.
    """

    def __init__(self, trunk: LiteTrunk | Mini, previous_mask: bool = True) -> None:
        super().__init__()
        self.previous_mask = previous_mask
        self.checkpoint_config = {**CHECKPOINT_CONFIG, "with_prev_mask": True}
        self.maps_transform = conv1s(3, min(64, trunk.low_channels))
        self.feature_extractor = trunk
        trunk.FDM = Fdm(trunk.channels, gain=0.0)
        self.head = SeparableHead(trunk.channels)
        self.latent_head = SeparableHead(trunk.channels, LATENTS, LatentLayer)
        self.pdm_gate = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor]:
        """Return the refined logits (B, 1, H, W)."""
        disks = draw_disks(clicks, (inputs.shape[-2], inputs.shape[-1]), RADIUS)
        features, _ = self._compute_features(inputs, clicks, disks)
        return (self._compute_logits(inputs, features, disks),)

    def forward_with_aux(self, inputs: Tensor, clicks: Tensor) -> CdnetOutput:
        """Return all outputs that CDNet's losses need; the main logits are the refined ones."""
        size = inputs.shape[-2], inputs.shape[-1]
        disks = draw_disks(clicks, size, RADIUS)
        features, gate = self._compute_features(inputs, clicks, disks)
        gate, latents = (resize_bilinear(x, size) for x in (gate, self.latent_head(features)))
        main = self._compute_logits(inputs, features, disks)
        return CdnetOutput(main, gate, latents, join_disks(disks))

    def extra_loss(
        self, outputs: CdnetOutput, target: Tensor, mask_loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Return the loss of the gate of FDM and of the latent logits, (B,)."""
        return compute_extra_loss(outputs, target, mask_loss)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image and clicks; see `isbench.nn.network.Network`."""
        return example_image(size, 4 if self.previous_mask else 3), example_points(size, points)

    def _compute_features(
        self, inputs: Tensor, clicks: Tensor, disks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the trunk's features (B, C, H/4, W/4) and the gate of FDM (B, 1, H/8, W/8)."""
        previous = inputs[:, 3:] if self.previous_mask else torch.zeros_like(inputs[:, :1])
        extra = self.maps_transform(torch.cat([previous, disks], dim=1))
        low = self.feature_extractor.stem(normalize(inputs[:, :3]), extra)
        size = inputs.shape[-2], inputs.shape[-1]
        features, gate = diffuse_features(self.feature_extractor, low, clicks, size)
        assert gate is not None
        return features, gate

    def _compute_logits(self, inputs: Tensor, features: Tensor, disks: Tensor) -> Tensor:
        logits = resize_bilinear(self.head(features), inputs.shape[-2:])
        # no gradient passes through what diffused: only its gate learns from it
        diffused = diffuse_pixels(inputs[:, :3], logits.detach(), disks)
        return logits + _RELEASED * self.pdm_gate * diffused


def make_networks(trunk: Callable[[], LiteTrunk | Mini], **options: Any) -> dict[str, nn.Module]:
    """Return the network of a card and its options."""
    return {"network": CdnetLite(trunk(), options["previous_mask"])}


def build_predictor(
    trunk: Callable[[], LiteTrunk | Mini], *, runtime: Runtime, **options: Any
) -> CropPredictor:
    """Return the predictor of a card, with RITM's inference."""
    networks = build_networks(partial(make_networks, trunk, **options), runtime)
    config = make_config(options, Zoom(), runtime, options["previous_mask"])
    return CropPredictor(config, partial(answer_mask_guided, networks["network"]))
