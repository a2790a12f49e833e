"""PseudoClick's network: RITM's, with a head that predicts where its own mask is wrong.

Source: arXiv:2207.05282. No official code or weights exist, and only its abstract was at hand: the
place and the layers of the error head are choices of this project. All keys but `error_head` are
those of RITM.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from isbench.nn.backbones.hrnet import HRNet
from isbench.nn.backbones.lite import LiteTrunk
from isbench.nn.clickmaps import draw_disks
from isbench.nn.losses import soft_iou_loss
from isbench.nn.network import example_image, example_points
from isbench.nn.stem import ZeroConv2d, conv1s, normalize, resize_bilinear
from isbench.nn.trunk import CHECKPOINT_CONFIG, RADIUS, Trunk, make_head, with_branch_head

THRESHOLD = 0.49  # probability above which a pixel is in the mask, or in an error of it
_WIDTH = 64  # channels of the error head
_RARE = 0.1  # probability of an error before an inserted head has learned; below THRESHOLD


class PseudoClickLogits(NamedTuple):
    """The outputs that training compares with the truth, at the inputs' size.

    Main and auxiliary logits, each (B, 1, H, W); `aux` is None for a trunk without them. Logits of
    the mask's false positives and of its false negatives, (B, 2, H, W).
    """

    main: Tensor
    aux: Tensor | None
    errors: Tensor


class RareErrors(ZeroConv2d):
    """The last layer of an error head that starts by predicting no error anywhere.

    With it an error head can be inserted into a trained network without clicking at random, and
    without disturbing the features at first. A bias for rare classes is RetinaNet's
    (arXiv:1708.02002).
    """

    def reset_parameters(self) -> None:
        """Set the weight to zero and the bias to the logit of a rare error."""
        super().reset_parameters()
        assert self.bias is not None
        nn.init.constant_(self.bias, math.log(_RARE / (1 - _RARE)))


class PseudoClick(nn.Module):
    """(B, 4, H, W) inputs and two sets of (B, 2K, 5) points to logits, on any trunk.

    The points are the user's clicks and the network's own, whose disks may have another radius.
    `last_layer` makes the last layer of the error head: `RareErrors` for one that is inserted into
    a trained network.
    """

    def __init__(
        self,
        trunk: Trunk,
        pseudo_radius: float = RADIUS,
        last_layer: Callable[[int, int, int], nn.Module] = nn.Conv2d,
    ) -> None:
        super().__init__()
        self.pseudo_radius = pseudo_radius
        self.checkpoint_config = {**CHECKPOINT_CONFIG, "with_prev_mask": True}
        self.maps_transform = conv1s(3, min(64, trunk.low_channels))
        self.feature_extractor = trunk
        self.head = make_head(trunk)
        channels = trunk.cls_head.in_channels if isinstance(trunk, HRNet) else trunk.channels
        self.error_head = nn.Sequential(
            nn.Conv2d(channels, _WIDTH, 3, padding=1, bias=False),
            nn.BatchNorm2d(_WIDTH),
            nn.ReLU(),
            last_layer(_WIDTH, 2, 1),
        )

    def forward(self, inputs: Tensor, clicks: Tensor, pseudo_clicks: Tensor) -> tuple[Tensor]:
        """Return logits (B, 3, H, W): of the mask, its false positives and false negatives."""
        main, _, errors = self.forward_with_aux(inputs, clicks, pseudo_clicks)
        return (torch.cat([main, errors], dim=1),)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image and both sets of clicks; see `isbench.nn.network.Network`."""
        return example_image(size), example_points(size, points), example_points(size, points)

    def for_inference(self) -> nn.Module:
        """Return this network in fewer operations; see `isbench.nn.network.Network`."""
        return with_branch_head(self)

    def forward_with_aux(
        self, inputs: Tensor, clicks: Tensor, pseudo_clicks: Tensor | None = None
    ) -> PseudoClickLogits:
        """Return all logits at the inputs' size; training has no pseudo clicks."""
        trunk, size = self.feature_extractor, (inputs.shape[-2], inputs.shape[-1])
        extra = self.maps_transform(self._guide(inputs, clicks, pseudo_clicks))
        low, aux = trunk.stem(normalize(inputs[:, :3]), extra), None
        if isinstance(trunk, HRNet):
            main, aux, features = trunk.segment(low)  # (B, 2 * ocr, H/4, W/4)
            aux = resize_bilinear(aux, size)
        else:
            assert self.head is not None
            features = trunk.body(low)  # (B, C, H/4, W/4)
            main = self.head(features)
        errors = self.error_head(features)
        return PseudoClickLogits(resize_bilinear(main, size), aux, resize_bilinear(errors, size))

    def _guide(self, inputs: Tensor, clicks: Tensor, pseudo_clicks: Tensor | None) -> Tensor:
        """Return the previous mask and the disks of all clicks, (B, 3, H, W)."""
        size = inputs.shape[-2], inputs.shape[-1]
        disks = draw_disks(clicks, size, RADIUS)
        if pseudo_clicks is not None:
            disks = torch.maximum(disks, draw_disks(pseudo_clicks, size, self.pseudo_radius))
        return torch.cat([inputs[:, 3:], disks], dim=1)

    def extra_loss(
        self,
        outputs: PseudoClickLogits,
        target: Tensor,
        mask_loss: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        """Return the loss of both error maps, (B,); see `isbench.training.step.compute_loss`.

        It is soft IoU, and `mask_loss` is not used: errors are rare, so with a focal loss no
        probability of one reaches THRESHOLD outside the mask's own border.
        """
        targets = find_errors(outputs.main, target)
        losses = [
            soft_iou_loss(outputs.errors[:, k : k + 1], targets[:, k : k + 1])
            for k in range(targets.shape[1])
        ]
        return torch.stack(losses).sum(dim=0)


def find_errors(main: Tensor, target: Tensor) -> Tensor:
    """Return where the mask of (B, 1, H, W) logits is wrong, (B, 2, H, W).

    False positives, then false negatives: 1 at an error, 0 elsewhere, -1 where `target` is ignored.
    They are constants for gradients, since the error head must not improve by a worse mask.
    """
    mask = torch.sigmoid(main.detach().float()) > THRESHOLD
    truth = target > 0.5
    errors = torch.cat([mask & ~truth, ~mask & truth], dim=1).to(target.dtype)
    return errors.masked_fill(target < 0, -1)


def make_networks(trunk: Callable[[], Trunk], **options: Any) -> dict[str, nn.Module]:
    """Return the network of a card and its options."""
    return {"network": PseudoClick(trunk(), float(options["pseudo_radius"]))}


def make_lite_networks(**options: Any) -> dict[str, nn.Module]:
    """Return the network whose error head is inserted into that of `ritm-lite`."""
    return {"network": PseudoClick(LiteTrunk(), float(options["pseudo_radius"]), RareErrors)}
