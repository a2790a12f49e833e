"""The networks of FocalClick (Chen et al. 2022): segmentor and refiner.

Written from a description of the paper and its code; equal to the official networks under synthetic
weights (tests/baselines/test_focalclick.py). Attribute names are the keys of the official
checkpoints, which hold both networks. Differs: parts of OCR without effect (see
`isbench.nn.backbones.ocr`) are not computed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from isbench.nn.backbones.hrnet import HRNet, Sizes
from isbench.nn.backbones.ocr import Logits, context
from isbench.nn.clickmaps import draw_disks
from isbench.nn.network import example_image, example_points
from isbench.nn.stem import conv1s, normalize, resize_bilinear
from isbench.nn.trunk import RADIUS

_WIDTH = 32  # channels of the refiner
# not the radius of the disks, which follows from the version
_CHECKPOINT_CONFIG = {"use_disks": True, "use_leaky_relu": True, "with_prev_mask": True}


class Version(NamedTuple):
    """What the published versions of the segmentor differ in."""

    name: str  # in the settings of official checkpoints
    radius: float  # of the disks around clicks, in pixels of the inputs
    shrink: int  # the trunk sees the inputs at this fraction of their size


S1 = Version("s1", 2.0, 2)
S2 = Version("s2", RADIUS, 1)


class _Outputs(NamedTuple):
    logits: Tensor
    features: Tensor
    aux: Tensor


class Segmentor(nn.Module):
    """RITM's network that returns the features behind its logits too."""

    def __init__(self, trunk: HRNet, version: Version = S2) -> None:
        super().__init__()
        self.version = version
        # the files of both versions have the same keys
        self.checkpoint_config = {**_CHECKPOINT_CONFIG, "pipeline_version": version.name}
        self.maps_transform = conv1s(3)
        self.feature_extractor = trunk

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, 1, H, W) and features (B, 2 * ocr, h, w) of (B, 4, H, W) inputs.

        The inputs are RGB in [0, 1] and the previous probabilities. h and w are a quarter of the
        size that the trunk sees.
        """
        outputs = self._compute(inputs, clicks)
        return outputs.logits, outputs.features

    def forward_with_aux(self, inputs: Tensor, clicks: Tensor) -> Logits:
        """Return the main and auxiliary logits at the inputs' size."""
        outputs = self._compute(inputs, clicks)
        return Logits(outputs.logits, outputs.aux)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image and clicks; see `isbench.nn.network.Network`."""
        return example_image(size), example_points(size, points)

    def extra_repr(self) -> str:
        """Return the version, which no tensor shows; a backend's cache tells networks by it."""
        return str(self.version)

    def _compute(self, inputs: Tensor, clicks: Tensor) -> _Outputs:
        trunk, shrink = self.feature_extractor, self.version.shrink
        size = inputs.shape[-2], inputs.shape[-1]
        seen = size[0] // shrink, size[1] // shrink
        disks = draw_disks(clicks, size, self.version.radius)
        maps = resize_bilinear(torch.cat([inputs[:, 3:], disks], dim=1), seen)
        image = resize_bilinear(normalize(inputs[:, :3]), seen)
        features = trunk.body(trunk.stem(image, self.maps_transform(maps)))
        aux = trunk.aux_head(features)
        x = trunk.conv3x3_ocr(features)
        x = trunk.ocr_distri_head(x, context(x, aux))
        logits = (resize_bilinear(y, size) for y in (trunk.cls_head(x), aux))
        main, aux = logits
        return _Outputs(main, x, aux)


class _Norm(nn.Module):
    """A convolution with bias, norm and ReLU."""

    def __init__(self, in_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, _WIDTH, kernel, stride, kernel // 2)
        self.norm = nn.BatchNorm2d(_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))


class _Separable(nn.Module):
    """A depthwise and a pointwise convolution with bias, norm and ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv3x3 = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, groups=_WIDTH)
        self.conv1x1 = nn.Conv2d(_WIDTH, _WIDTH, 1)
        self.norm = nn.BatchNorm2d(_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv1x1(self.conv3x3(x))))


class RefineLayer(nn.Module):
    """Refines logits where it sees a border: (B, 1, H, W) from image, disks, features, logits."""

    def __init__(self, feature_channels: int) -> None:
        super().__init__()
        self.image_conv1 = _Norm(6, 3, stride=2)
        self.image_conv2 = _Separable()
        self.image_conv3 = _Separable()
        self.refine_fusion = _Norm(feature_channels, 1)
        self.refine_fusion2 = _Separable()
        self.refine_fusion3 = _Separable()
        self.refine_pred = nn.Conv2d(_WIDTH, 1, 3, padding=1)
        self.refine_trimap = nn.Conv2d(_WIDTH, 1, 3, padding=1)

    def forward(
        self, image: Tensor, disks: Tensor, features: Tensor, logits: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return refined logits and logits of the border, both (B, 1, H, W).

        `image` is RGB in [0, 1], not normalised.
        """
        x = torch.cat([image, disks, torch.sigmoid(logits)], dim=1)
        x = self.image_conv3(self.image_conv2(self.image_conv1(x)))  # (B, 32, H/2, W/2)
        x = x + resize_bilinear(self.refine_fusion(features), x.shape[-2:])
        x = self.refine_fusion3(self.refine_fusion2(x))
        size = image.shape[-2:]
        detail = resize_bilinear(self.refine_pred(x), size)
        trimap = resize_bilinear(self.refine_trimap(x), size)
        share = torch.sigmoid(trimap)
        return detail * share + logits * (1 - share), trimap


class Refiner(nn.Module):
    """The refiner with its clicks as disks, under the key of the official checkpoints."""

    def __init__(self, feature_channels: int, version: Version = S2) -> None:
        super().__init__()
        self.feature_channels, self.version = feature_channels, version
        self.refiner = RefineLayer(feature_channels)

    def forward(
        self, image: Tensor, clicks: Tensor, features: Tensor, logits: Tensor
    ) -> tuple[Tensor]:
        """Return refined logits (B, 1, H, W) from RGB in [0, 1], points, features and logits."""
        disks = draw_disks(clicks, (image.shape[-2], image.shape[-1]), RADIUS)
        return (self.refiner(image, disks, features, logits)[0],)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return crops of an image, features and logits; see `isbench.nn.network.Network`."""
        image = example_image(size, 3)
        stride = 4 * self.version.shrink
        small = example_image((-(-size[0] // stride), -(-size[1] // stride)), 1)
        features = small * torch.linspace(0, 2, self.feature_channels).view(1, -1, 1, 1)
        return image, example_points(size, points), features, 4 * image[:, :1] - 2


def make_networks(sizes: Sizes, version: Version, **options: Any) -> dict[str, nn.Module]:
    """Return the networks of a card."""
    return {
        "segmentor": Segmentor(HRNet(sizes), version),
        "refiner": Refiner(2 * sizes.ocr, version),
    }
