"""FocusCut's network (Lin et al., CVPR 2022): DeepLabV3+ with clicks and a mask as inputs.

Written from a description of the official code (frazerlin/focuscut@42fb82a). Under synthetic
weights its outputs are those of the official network (tests/baselines/test_focuscut.py). Attribute
names are the keys of the official checkpoints.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from baselines.distance_maps import example_distances, make_gaussian, measure_point_distances
from isbench.nn.backbones.deeplab16 import (
    BLOCKS,
    LAST,
    WIDTH,
    Aspp,
    Decoder,
    Prediction,
    make_layers,
)
from isbench.nn.backbones.ocr import Logits
from isbench.nn.backbones.resnet import Bottleneck
from isbench.nn.network import example_image
from isbench.nn.stem import normalize, resize_bilinear

# those of 6, 12 and 18 at an input of 512 pixels, scaled to the 384 it was trained with
_DILATIONS = (5, 9, 14)
_SPREAD = 10.0  # pixels at which a click's map is 1/16


class _Backbone(nn.Module):
    """A ResNet with a stem for six channels."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(6, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        self.layers = nn.ModuleList([stem, *make_layers(Bottleneck, BLOCKS[depth])])
        self.pool = nn.MaxPool2d(3, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features at strides 4 and 16."""
        stem, first, *rest = self.layers
        skip = y = first(self.pool(stem(x)))
        for layer in rest:
            y = layer(y)
        return skip, y


class FocusCutNetwork(nn.Module):
    """An image, distances to clicks and a mask to logits; for the whole object and for patches."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.backbone = _Backbone(depth)
        self.my_aspp = Aspp(LAST, _DILATIONS)
        self.my_decoder = Decoder()
        self.pred_decoder = Prediction(nn.Conv2d(WIDTH, 1, 1))

    def forward(
        self, image: Tensor, positive: Tensor, negative: Tensor, previous: Tensor
    ) -> tuple[Tensor]:
        """Return logits (B, 1, H, W).

        The inputs are RGB in [0, 1], (B, 3, H, W); distances to the next positive and the next
        negative click in pixels, each (B, 1, H, W), at most 255; and the previous mask as 0 and 1,
        (B, 1, H, W).
        """
        maps = [make_gaussian(distances, _SPREAD) for distances in (positive, negative)]
        return (self.segment(torch.cat([normalize(image), *maps, previous], dim=1)),)

    def forward_with_aux(self, inputs: Tensor, clicks: Tensor) -> Logits:
        """Return the logits of an image with a mask, (B, 4, H, W), and points, for training."""
        distances = measure_point_distances(clicks, (inputs.shape[-2], inputs.shape[-1]))
        return Logits(self(inputs[:, :3], *distances, inputs[:, 3:])[0], None)

    def segment(self, inputs: Tensor) -> Tensor:
        """Return the logits of normalised RGB, maps of positive and negative clicks, and a mask."""
        skip, last = self.backbone(inputs)
        logits = self.pred_decoder(self.my_decoder(self.my_aspp(last), skip))
        return resize_bilinear(logits, inputs.shape[-2:])

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image, distances and a mask; see `isbench.nn.network.Network`."""
        image = example_image(size)
        return image[:, :3], *example_distances(size, 2), image[:, 3:]


def make_networks(depth: int, **options: Any) -> dict[str, nn.Module]:
    """Return the network of a card."""
    return {"network": FocusCutNetwork(depth)}
