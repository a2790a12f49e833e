"""The networks of f-BRS (Sofiiuk et al. 2020, arXiv:2001.10331), cut where it optimises.

The first part computes features of an image and clicks, once per crop. The second turns features
into logits, many times: f-BRS-B scales and shifts what is between the two. Written from a
description of the paper and its code; equal to the official networks under synthetic weights
(tests/baselines/test_fbrs.py). The parts share a trunk whose attributes are named like the keys of
the official checkpoints. Differs: what the official networks compute without effect (see
`isbench.nn.backbones.ocr`) is left out. `GuidedFeatureNetwork` is this project's: RITM's inputs,
for weights of RITM on a trunk that f-BRS never had.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from isbench.nn.backbones.deeplab import DeepLab
from isbench.nn.backbones.hrnet import HRNet
from isbench.nn.backbones.lite import LiteTrunk
from isbench.nn.backbones.ocr import Logits
from isbench.nn.network import example_image, example_points
from isbench.nn.stem import conv1s, input_fusion, normalize
from isbench.nn.trunk import aux_logits, guidance_maps, make_head

_UNIT = 260.0  # pixels, of distances to clicks
_ABSENT = 1e6  # squared distance to a click that does not exist, in this unit


class FeatureNetwork(nn.Module):
    """Normalised images (B, 3, H, W) and (B, 2K, 5) points to features (B, C, H/4, W/4).

    C is the decoder's width plus 32 on DeepLabV3+, and 15 times the width on HRNet.
    """

    def __init__(self, trunk: DeepLab | HRNet) -> None:
        super().__init__()
        self.rgb_conv = input_fusion(2)
        self.feature_extractor = trunk
        if isinstance(trunk, DeepLab):
            # The released files on ResNets were converted from MXNet, whose norms do not count
            # batches. They also hold the rate of the dropout, which inference does not use.
            self.checkpoint_may_lack = ("num_batches_tracked",)
            self.checkpoint_may_have = ("aspp_dropout",)

    def forward(self, image: Tensor, clicks: Tensor) -> tuple[Tensor]:
        """Return the features."""
        trunk = self.feature_extractor
        maps = draw_distances(clicks, (image.shape[-2], image.shape[-1]))
        low = trunk.stem(self.rgb_conv(torch.cat([image, maps], dim=1)), None)
        return (trunk.body(low) if isinstance(trunk, HRNet) else trunk.join_scales(low),)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image and clicks; see `isbench.nn.network.Network`."""
        return 4 * example_image(size, 3) - 2, example_points(size, points)


class GuidedFeatureNetwork(nn.Module):
    """(B, 4, H, W) images with the previous mask, (B, 2K, 5) points, to features (B, C, H/4, W/4).

    Together with `HeadNetwork` it computes what `baselines.ritm.Ritm` does, with the same weights.
    The cut is where that of mode B is on DeepLabV3+: all scales are joined at stride 4, and the
    decoder's last convolutions follow.
    """

    def __init__(self, trunk: LiteTrunk) -> None:
        super().__init__()
        self.maps_transform = conv1s(3, min(64, trunk.low_channels))
        self.feature_extractor = trunk

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor]:
        """Return the features."""
        trunk = self.feature_extractor
        extra = self.maps_transform(guidance_maps(inputs, clicks, previous_mask=True))
        return (trunk.join_scales(trunk.stem(normalize(inputs[:, :3]), extra)),)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image and clicks; see `isbench.nn.network.Network`."""
        return example_image(size, 4), example_points(size, points)


class HeadNetwork(nn.Module):
    """Features (B, C, h, w) to logits (B, 1, h, w)."""

    def __init__(self, trunk: DeepLab | HRNet | LiteTrunk) -> None:
        super().__init__()
        self.feature_extractor = trunk
        self.head = make_head(trunk)

    def forward_with_aux(self, features: Tensor) -> Logits:
        """Return the main logits, and on HRNet the auxiliary ones."""
        trunk = self.feature_extractor
        if isinstance(trunk, HRNet):
            aux = aux_logits(trunk, features)
            assert aux is not None
            return trunk.logits(features, aux)
        assert self.head is not None
        return Logits(self.head(trunk.head(features)), None)

    def forward(self, features: Tensor) -> tuple[Tensor]:
        """Return the main logits."""
        return (self.forward_with_aux(features).main,)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return the features of an image; see `isbench.nn.network.Network`."""
        trunk = self.feature_extractor
        channels = trunk.channels + 32 if isinstance(trunk, DeepLab) else trunk.channels
        ramp = example_image((-(-size[0] // 4), -(-size[1] // 4)), 1)
        return (ramp * torch.linspace(0, 1, channels).view(1, -1, 1, 1),)


def draw_distances(clicks: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (B, 2, H, W) maps of the distance to the nearest positive, negative click.

    The value is the tanh of twice the distance in units of 260 pixels: 0 at a click, 1 far away and
    where there is no click of that sign. A place counts as unused if both its row and its column
    are below 0.
    """
    rows = torch.arange(size[0], device=clicks.device, dtype=clicks.dtype)[:, None]
    cols = torch.arange(size[1], device=clicks.device, dtype=clicks.dtype)
    row, col = clicks[..., 0, None, None], clicks[..., 1, None, None]  # (B, 2K, 1, 1)
    squared = ((rows - row) / _UNIT) ** 2 + ((cols - col) / _UNIT) ** 2
    squared = torch.where(torch.maximum(row, col) < 0, _ABSENT, squared)
    nearest = torch.stack([half.amin(dim=1) for half in squared.chunk(2, dim=1)], dim=1)
    return torch.tanh(2 * nearest.sqrt())


def make_networks(trunk: Callable[[], DeepLab | HRNet], **options: Any) -> dict[str, nn.Module]:
    """Return the networks of a card; they share a trunk, and with it one weight file."""
    made = trunk()
    return {"features": FeatureNetwork(made), "head": HeadNetwork(made)}


def make_guided_networks(trunk: Callable[[], LiteTrunk], **options: Any) -> dict[str, nn.Module]:
    """Return the networks of a card with RITM's inputs; they load weights of `baselines.ritm`."""
    made = trunk()
    return {"features": GuidedFeatureNetwork(made), "head": HeadNetwork(made)}
