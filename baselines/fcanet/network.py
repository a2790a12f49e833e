"""FCA-Net (Lin et al., CVPR 2020): DeepLabV3+ in which the first click has a branch of its own.

Written from a description of the official code (frazerlin/fcanet@e7de0ed). Under synthetic weights
its outputs are those of the official network (tests/baselines/test_fcanet.py). Attribute names are
the keys of the official checkpoints; `first_pred_decoder`, which only training used, is kept for
its keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from baselines.distance_maps import example_distances, make_gaussian
from isbench.nn.backbones.deeplab16 import (
    BLOCKS,
    LAST,
    SKIP,
    WIDTH,
    Aspp,
    Block,
    Decoder,
    Prediction,
    conv_bn_relu,
    make_layers,
)
from isbench.nn.backbones.res2net import Res2Block
from isbench.nn.backbones.resnet import Bottleneck, make_deep_stem
from isbench.nn.network import example_image
from isbench.nn.stem import resize_bilinear

_DILATIONS = (6, 12, 18)
_SPREAD, FIRST_SPREAD = 10.0, 30.0  # pixels at which the map of a click is 1/16
_BACKBONES: Mapping[str, Block] = {"resnet": Bottleneck, "res2net": Res2Block}
_BRANCH = ((256, 2), (256, 1), (256, 1), (512, 2), (512, 1), (512, 1))  # channels and strides
_AUX_WIDTH = 256  # channels of the decoder that only training used


class _Start(nn.Module):
    """The stem for five channels, and the first layer: (B, 5, H, W) to (B, SKIP, H/4, W/4)."""

    def __init__(self, stem: nn.Module, layer: nn.Module) -> None:
        super().__init__()
        self.conv1 = stem
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer1(self.maxpool(torch.relu(self.bn1(self.conv1(x)))))
        return y


class _End(nn.Module):
    """The other layers: (B, SKIP, h, w) to (B, LAST, h/4, w/4)."""

    def __init__(self, layers: list[nn.Sequential]) -> None:
        super().__init__()
        self.layer2, self.layer3, self.layer4 = layers

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer4(self.layer3(self.layer2(x)))
        return y


class FirstClick(nn.Module):
    """The branch of the first click: convolutions of the skip features and its map.

    `layers` are channels and strides of the convolutions: with two strides of 2 the input
    (B, channels, H/4, W/4) becomes (B, width of the last, H/16, W/16).
    """

    def __init__(self, channels: int, layers: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        inputs = (channels + 1, *(width for width, _ in layers))
        self.convs = nn.Sequential(
            *(
                nn.Sequential(*conv_bn_relu(before, width, 3, stride))
                for before, (width, stride) in zip(inputs, layers, strict=False)
            )
        )

    def forward(self, skip: Tensor, first: Tensor) -> Tensor:
        """Return the features of the branch; the map (B, 1, h, w) may have any size."""
        y: Tensor = self.convs(torch.cat([skip, resize_bilinear(first, skip.shape[-2:])], dim=1))
        return y


class FcaNetwork(nn.Module):
    """An image and distances to clicks to logits."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        wide = nn.Conv2d(5, 64, 7, 2, 3, bias=False)
        first, *rest = make_layers(block, BLOCKS[101])
        self.backbone_pre = _Start(wide if block is Bottleneck else make_deep_stem(5, 32), first)
        self.backbone_last = _End(rest)
        branch, width = _BRANCH[-1][0], WIDTH // 2
        self.first_conv = FirstClick(SKIP, _BRANCH)
        self.my_aspp = Aspp(branch + LAST, _DILATIONS)
        self.my_decoder = Decoder()
        self.pred_decoder = make_prediction(WIDTH, width)
        self.first_pred_decoder = make_prediction(branch, _AUX_WIDTH)

    def forward(
        self, image: Tensor, positive: Tensor, negative: Tensor, first: Tensor
    ) -> tuple[Tensor]:
        """Return logits (B, 1, H, W).

        The inputs are RGB in [0, 1], (B, 3, H, W), and distances to the next positive, the next
        negative and the first click in pixels, each (B, 1, H, W), at most 255.
        """
        maps = [make_gaussian(distances, _SPREAD) for distances in (positive, negative)]
        skip = self.backbone_pre(torch.cat([image, *maps], dim=1))
        branch = self.first_conv(skip, make_gaussian(first, FIRST_SPREAD))
        scales = self.my_aspp(torch.cat([branch, self.backbone_last(skip)], dim=1))
        logits = self.pred_decoder(self.my_decoder(scales, skip))
        return (resize_bilinear(logits, image.shape[-2:]),)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image and distances; see `isbench.nn.network.Network`."""
        return example_image(size, 3), *example_distances(size, 3)


def make_prediction(channels: int, width: int) -> Prediction:
    """Return the layers from features to logits (B, 1, h, w), `width` channels in between."""
    return Prediction(
        *conv_bn_relu(channels, width, 3), *conv_bn_relu(width, width, 3), nn.Conv2d(width, 1, 1)
    )


def make_networks(backbone: str, **options: Any) -> dict[str, nn.Module]:
    """Return the network of a card, whose backbone is "resnet" or "res2net"."""
    return {"network": FcaNetwork(_BACKBONES[backbone])}
