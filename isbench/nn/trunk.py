"""Trunks of the RITM family, and the heads that turn their features into logits."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeAlias

import torch
from torch import Tensor, nn

from isbench.nn.backbones.deeplab import DeepLab, SeparableHead
from isbench.nn.backbones.hrnet import HRNet
from isbench.nn.backbones.lite import LiteTrunk
from isbench.nn.backbones.mini import Mini
from isbench.nn.backbones.ocr import Logits
from isbench.nn.backbones.resnet import BasicBlock, Block, Bottleneck, ResNet
from isbench.nn.clickmaps import draw_disks
from isbench.nn.stem import resize_bilinear

RADIUS = 5.0  # of the disks around clicks, in input pixels
# settings in official checkpoints that the networks here are written for
CHECKPOINT_CONFIG = {"use_disks": True, "norm_radius": 5, "use_leaky_relu": True}

# Each has `stem` (stride 2), `body` (stride 4), `low_channels` and `channels`.
Trunk: TypeAlias = HRNet | DeepLab | LiteTrunk | Mini


# block type, and number of blocks in the third layer
_LAYERS: dict[int, tuple[Block, int]] = {
    34: (BasicBlock, 6),
    50: (Bottleneck, 6),
    101: (Bottleneck, 23),
}


def deeplab(depth: int, channels: int) -> DeepLab:
    """Return DeepLabV3+ on ResNet-34 (v1b), -50 or -101 (v1s), dilated to output stride 8."""
    block, layer3_blocks = _LAYERS[depth]
    return DeepLab(ResNet(block, (3, 4, layer3_blocks, 3)), channels)


def guidance_maps(inputs: Tensor, clicks: Tensor, previous_mask: bool) -> Tensor:
    """Return the input of Conv1S, (B, 3 or 2, H, W), of inputs (B, 4, H, W): the disks of clicks.

    With `previous_mask`, the mask from the inputs' fourth channel is before them.
    """
    disks = draw_disks(clicks, (inputs.shape[-2], inputs.shape[-1]), RADIUS)
    return torch.cat([inputs[:, 3:], disks], dim=1) if previous_mask else disks


def make_head(trunk: Trunk, channels: int | None = None) -> SeparableHead | None:
    """Return a new head, or None for HRNet, which has its own under the official keys.

    Its input has the trunk's number of channels unless `channels` is given.
    """
    return None if isinstance(trunk, HRNet) else SeparableHead(channels or trunk.channels)


def aux_logits(trunk: Trunk, features: Tensor) -> Tensor | None:
    """Return auxiliary logits (B, 1, h, w) of features (B, C, h, w); None for trunks without."""
    return trunk.aux_head(features) if isinstance(trunk, HRNet) else None


def segment(trunk: Trunk, head: SeparableHead | None, low: Tensor, size: tuple[int, int]) -> Logits:
    """Return both logits, (B, 1, *size), of a stem's features, (B, L, H/2, W/2)."""
    if isinstance(trunk, HRNet):
        main, aux, _ = trunk.segment(low)
        return Logits(resize_bilinear(main, size), resize_bilinear(aux, size))
    return compute_logits(trunk, head, trunk.body(low), None, size)


def with_branch_head(network: nn.Module) -> nn.Module:
    """Return a copy of a network that calls `HRNet.segment`, with fewer operations in it.

    A network on another trunk is returned unchanged.
    """
    if not any(isinstance(part, HRNet) for part in network.modules()):
        return network
    copied = deepcopy(network)
    for part in copied.modules():
        if isinstance(part, HRNet):
            part.add_branch_head()
    return copied


def compute_logits(
    trunk: Trunk,
    head: SeparableHead | None,
    features: Tensor,
    aux: Tensor | None,
    size: tuple[int, int],
) -> Logits:
    """Return both logits, (B, 1, *size), of features (B, C, h, w).

    They may differ from those behind the auxiliary logits, (B, 1, h', w'), or be larger.
    """
    if isinstance(trunk, HRNet):
        assert aux is not None
        main, aux = trunk.logits(features, aux)
    else:
        assert head is not None
        main = head(features)
    return Logits(resize_bilinear(main, size), None if aux is None else resize_bilinear(aux, size))
