"""The networks of FocalClick (Chen et al. 2022): segmentor and refiner.

Written from a description of the paper and its code; equal to the official networks under synthetic
weights (tests/baselines/test_focalclick.py). Attribute names are the keys of the official
checkpoints, which hold both networks. Differs: parts of OCR without effect (see
`isbench.nn.backbones.ocr`) are not computed. On LiteTrunk, which is this project's choice, the
features are those behind the head, and the refiner may start without effect. How both networks are
trained is in `training`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.focalclick.training import crop_views, draw_focus_crop, focus_loss, map_points
from baselines.focalclick.versions import S2, Version
from isbench.nn.backbones.hrnet import HRNet
from isbench.nn.backbones.lite import LiteTrunk
from isbench.nn.clickmaps import draw_disks
from isbench.nn.network import example_image, example_points
from isbench.nn.roi_align import Region, roi_align
from isbench.nn.stem import ZeroConv2d, conv1s, normalize, resize_bilinear
from isbench.nn.trunk import RADIUS, make_head, with_branch_head

_WIDTH = 32  # channels of the refiner
# not the radius of the disks, which follows from the version
_CHECKPOINT_CONFIG = {"use_disks": True, "use_leaky_relu": True, "with_prev_mask": True}


Trunk: TypeAlias = HRNet | LiteTrunk


class FocusLogits(NamedTuple):
    """What training compares with the truth in the focus crops."""

    boxes: Tensor  # (B, 4): first and last row, first and last column of each crop
    refined: Tensor  # (B, 1, H, W) logits of the object
    trimap: Tensor  # (B, 1, H, W) logits of the border


class FocalClickLogits(NamedTuple):
    """What training compares with the truth, at the inputs' size, and features (B, C, h, w)."""

    main: Tensor
    aux: Tensor | None
    features: Tensor
    focus: FocusLogits | None = None  # without focus crops the refiner is not computed


class Segmentor(nn.Module):
    """RITM's network that returns the features behind its logits too.

    It holds the refiner, which its own pass does not use: both are trained as one network and saved
    in one file. `residual` is that of the refiner.
    """

    def __init__(self, trunk: Trunk, version: Version = S2, residual: bool = False) -> None:
        super().__init__()
        self.version = version
        # the files of both versions have the same keys
        self.checkpoint_config = {**_CHECKPOINT_CONFIG, "pipeline_version": version.name}
        self.maps_transform = conv1s(3, min(64, trunk.low_channels))
        self.feature_extractor = trunk
        self.head = make_head(trunk)
        channels = trunk.cls_head.in_channels if isinstance(trunk, HRNet) else trunk.channels
        self.refiner = RefineLayer(channels, residual)

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, 1, H, W) and features (B, C, h, w) of (B, 4, H, W) inputs.

        The inputs are RGB in [0, 1] and the previous probabilities. h and w are a quarter of the
        size that the trunk sees.
        """
        outputs = self.forward_with_aux(inputs, clicks)
        return outputs.main, outputs.features

    def forward_with_aux(
        self, inputs: Tensor, clicks: Tensor, boxes: Tensor | None = None
    ) -> FocalClickLogits:
        """Return the logits of the segmentor, and of the refiner in crops of the inputs, if any.

        `boxes` (B, 4) are the first and last row, and the first and last column, of each crop.
        """
        outputs = self._compute(inputs, clicks)
        return outputs if boxes is None else self._refine(outputs, inputs, clicks, boxes)

    def draw_training_inputs(
        self, targets: NDArray[np.int8], generators: Sequence[np.random.Generator]
    ) -> tuple[Tensor]:
        """Return the boxes of focus crops, (B, 4); see `isbench.training.step`."""
        boxes = [draw_focus_crop(one, rng) for one, rng in zip(targets, generators, strict=True)]
        return (torch.tensor(boxes),)

    def extra_loss(
        self, outputs: FocalClickLogits, target: Tensor, mask_loss: Callable[..., Tensor]
    ) -> Tensor:
        """Return the loss of the refiner, (B,); see `isbench.training.step.compute_loss`."""
        focus = outputs.focus
        assert focus is not None
        return focus_loss(focus.refined, focus.trimap, focus.boxes.tolist(), target, mask_loss)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image and clicks; see `isbench.nn.network.Network`."""
        return example_image(size), example_points(size, points)

    def for_inference(self) -> nn.Module:
        """Return this network in fewer operations; see `isbench.nn.network.Network`."""
        return with_branch_head(self)

    def _compute(self, inputs: Tensor, clicks: Tensor) -> FocalClickLogits:
        trunk, shrink = self.feature_extractor, self.version.shrink
        size = inputs.shape[-2], inputs.shape[-1]
        seen = size[0] // shrink, size[1] // shrink
        disks = draw_disks(clicks, size, self.version.radius)
        maps = resize_bilinear(torch.cat([inputs[:, 3:], disks], dim=1), seen)
        image = resize_bilinear(normalize(inputs[:, :3]), seen)
        low = trunk.stem(image, self.maps_transform(maps))
        if isinstance(trunk, HRNet):
            main, aux, x = trunk.segment(low)
            return FocalClickLogits(resize_bilinear(main, size), resize_bilinear(aux, size), x)
        assert self.head is not None
        x = trunk.body(low)
        return FocalClickLogits(resize_bilinear(self.head(x), size), None, x)

    def _refine(
        self, outputs: FocalClickLogits, inputs: Tensor, clicks: Tensor, boxes: Tensor
    ) -> FocalClickLogits:
        size = inputs.shape[-2], inputs.shape[-1]
        edges = boxes.tolist()
        regions = [Region(top, bottom + 1, left, right + 1) for top, bottom, left, right in edges]
        disks = draw_disks(map_points(clicks, edges, size), size, RADIUS)
        parts = align_outputs(outputs.features, outputs.main, regions, size)
        image = crop_views(inputs[:, :3], edges, size)
        return outputs._replace(focus=FocusLogits(boxes, *self.refiner(image, disks, *parts)))


def align_outputs(
    features: Tensor, logits: Tensor, regions: Sequence[Region], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return what the refiner gets of the segmentor's outputs: a region of each of a batch.

    The regions are in pixels of the logits (B, 1, H, W), which are resampled to `size`; the
    features (B, C, h, w) are resampled to a size that relates to it as theirs to the logits'.
    """
    rows, cols = features.shape[-2] / logits.shape[-2], features.shape[-1] / logits.shape[-1]
    scaled = [
        Region(top * rows, bottom * rows, left * cols, right * cols)
        for top, bottom, left, right in regions
    ]
    small = max(1, round(size[0] * rows)), max(1, round(size[1] * cols))
    return roi_align(features, scaled, small), roi_align(logits, regions, size)


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
    """Refines logits where it sees a border: (B, 1, H, W) from image, disks, features, logits.

    With `residual` the details that replace the logits there are these plus a convolution, which
    starts at zero: until it has learned, the logits are returned unchanged.
    """

    def __init__(self, feature_channels: int, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        self.image_conv1 = _Norm(6, 3, stride=2)
        self.image_conv2 = _Separable()
        self.image_conv3 = _Separable()
        self.refine_fusion = _Norm(feature_channels, 1)
        self.refine_fusion2 = _Separable()
        self.refine_fusion3 = _Separable()
        self.refine_pred = (ZeroConv2d if residual else nn.Conv2d)(_WIDTH, 1, 3, padding=1)
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
        if self.residual:
            return logits + detail * share, trimap
        return detail * share + logits * (1 - share), trimap


class Refiner(nn.Module):
    """The refiner with its clicks as disks, under the key of the official checkpoints."""

    def __init__(self, layer: RefineLayer, version: Version = S2) -> None:
        super().__init__()
        self.version = version
        self.refiner = layer

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
        channels = self.refiner.refine_fusion.conv.in_channels
        features = small * torch.linspace(0, 2, channels).view(1, -1, 1, 1)
        return image, example_points(size, points), features, 4 * image[:, :1] - 2


def make_networks(
    trunk: Callable[[], Trunk], version: Version, residual: bool = False, **options: Any
) -> dict[str, nn.Module]:
    """Return the networks of a card, which share one weight file."""
    segmentor = Segmentor(trunk(), version, residual)
    return {"segmentor": segmentor, "refiner": Refiner(segmentor.refiner, version)}
