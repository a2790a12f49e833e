"""CSFPN's network (BMVC 2023): RITM's network with click-guided propagation before the head.

Written from the paper; on HRNet equal to the released network under synthetic weights
(tests/nn/test_official_networks.py). Attribute names are the keys of the released code, where the
graphs are parts of the feature extractor. No code was released for the DeepLabV3+ and mini
versions. On the lite trunk the modules are inserted into the trained network of ritm-lite and start
without effect: SGM adds to the features, and HSGM's map adds to the logits through a convolution
that starts at zero.
"""

from __future__ import annotations

from torch import Tensor, nn

from csfpn.config import PropagationConfig
from csfpn.propagation import Hsgm, Sgm, find_clicked_cells
from isbench.nn.backbones.ocr import Logits
from isbench.nn.network import example_image, example_points
from isbench.nn.stem import ZeroConv2d, conv1s, normalize, resize_bilinear
from isbench.nn.trunk import (
    CHECKPOINT_CONFIG,
    Trunk,
    aux_logits,
    compute_logits,
    guidance_maps,
    make_head,
)


class Csfpn(nn.Module):
    """(B, 4 or 3, H, W) inputs and (B, 2K, 5) points to logits, on any trunk."""

    def __init__(self, trunk: Trunk, graphs: PropagationConfig, previous_mask: bool = True) -> None:
        super().__init__()
        self.previous_mask, self.released = previous_mask, graphs.released
        self.checkpoint_config = {**CHECKPOINT_CONFIG, "with_prev_mask": previous_mask}
        self.maps_transform = conv1s(3 if previous_mask else 2, min(64, trunk.low_channels))
        self.feature_extractor = trunk
        channels, reduction = trunk.channels, graphs.reduction
        if graphs.sgm:
            trunk.att = Sgm(channels, reduction, graphs.heads, joined=not graphs.inserted)
        if graphs.hsgm:
            low, out = trunk.low_channels, graphs.out
            trunk.upatt = Hsgm(channels, low, reduction, graphs.light, out)
        self.detail = ZeroConv2d(graphs.out or channels, 1, 1) if adds_detail(graphs) else None
        self.head = make_head(trunk, graphs.out if graphs.hsgm and not graphs.inserted else None)

    def forward_with_aux(self, inputs: Tensor, clicks: Tensor) -> Logits:
        """Return the main and auxiliary logits at the inputs' size."""
        trunk = self.feature_extractor
        if self.released:
            clicks = _drop_outside(clicks, _measure(inputs))
        extra = self.maps_transform(guidance_maps(inputs, clicks, self.previous_mask))
        low = trunk.stem(normalize(inputs[:, :3]), extra)  # (B, L, H/2, W/2)
        features = trunk.body(low)  # (B, C, H/4, W/4)
        aux = aux_logits(trunk, features)
        graphs, fine = dict(trunk.named_children()), None
        if sgm := graphs.get("att"):
            features = sgm(
                features, find_clicked_cells(clicks, _measure(features), 4, self.released)
            )
        if hsgm := graphs.get("upatt"):
            cells = find_clicked_cells(clicks, _measure(low), 2, self.released)
            fine = hsgm(features, low, cells)  # (B, out, H/2, W/2)
        if self.detail is not None and fine is not None:
            logits = compute_logits(trunk, self.head, features, aux, _measure(inputs))
            detail = resize_bilinear(self.detail(fine), _measure(inputs))
            return logits._replace(main=logits.main + detail)
        return compute_logits(
            trunk, self.head, features if fine is None else fine, aux, _measure(inputs)
        )

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor]:
        """Return the logits (B, 1, H, W)."""
        return (self.forward_with_aux(inputs, clicks).main,)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image and clicks; see `isbench.nn.network.Network`."""
        return example_image(size, 4 if self.previous_mask else 3), example_points(size, points)


def adds_detail(graphs: PropagationConfig) -> bool:
    """Whether HSGM's map adds to the logits, instead of replacing the features behind them."""
    return graphs.inserted and graphs.hsgm


def _drop_outside(clicks: Tensor, size: tuple[int, int]) -> Tensor:
    """Mark points below or right of the input as unused, as only the released code does."""
    outside = (clicks[..., 0] >= size[0]) | (clicks[..., 1] >= size[1])
    return clicks.masked_fill(outside[..., None], -1.0)


def _measure(x: Tensor) -> tuple[int, int]:
    return x.shape[-2], x.shape[-1]
