"""Object-contextual representations (Yuan et al., arXiv:1909.11065) for one class: the object.

Attribute names are the keys of the official checkpoints. With one class the attention of pixels to
classes is 1 everywhere, so the context is a single vector. `f_pixel` and `f_object` have no effect:
they exist so that checkpoints load, and are never computed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


def _block(in_channels: int, out_channels: int) -> list[nn.Module]:
    """Return a 1x1 convolution, norm and ReLU under the official keys `0` and `1.0`."""
    norm = nn.Sequential(nn.BatchNorm2d(out_channels), nn.ReLU())
    return [nn.Conv2d(in_channels, out_channels, 1, bias=False), norm]


class _Context(nn.Module):
    def __init__(self, channels: int, keys: int) -> None:
        super().__init__()
        self.f_pixel = nn.Sequential(*_block(channels, keys), *_block(keys, keys))
        self.f_object = nn.Sequential(*_block(channels, keys), *_block(keys, keys))
        self.f_down = nn.Sequential(*_block(channels, keys))
        self.f_up = nn.Sequential(*_block(keys, channels))

    def forward(self, vector: Tensor) -> Tensor:
        up: Tensor = self.f_up(self.f_down(vector))
        return up


class Distribution(nn.Module):
    """Broadcasts the object's context vector over the map."""

    def __init__(self, channels: int, keys: int) -> None:
        super().__init__()
        self.object_context_block = _Context(channels, keys)
        self.conv_bn_dropout = nn.Sequential(*_block(2 * channels, channels), nn.Dropout2d(0.05))

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Return x fused with the context of `vector`."""
        context = self.object_context_block(vector).expand_as(x)
        joined: Tensor = self.conv_bn_dropout(torch.cat([context, x], dim=1))
        return joined


class OcrOutput(NamedTuple):
    """Main and auxiliary logits (B, 1, h, w), and the features (B, C, h, w) of the main ones."""

    main: Tensor
    aux: Tensor
    features: Tensor


class Logits(NamedTuple):
    """Main and auxiliary logits, each (B, 1, h, w); `aux` is None for a trunk without them."""

    main: Tensor
    aux: Tensor | None


def aux_head(channels: int) -> nn.Sequential:
    """Return the auxiliary head, whose logits weight the pixels of the context."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 1),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, 1, 1),
    )


def conv3x3_ocr(channels: int, ocr: int) -> nn.Sequential:
    """Return the layers between the backbone's features and the context."""
    conv = nn.Conv2d(channels, 2 * ocr, 3, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(2 * ocr), nn.ReLU())


def context(x: Tensor, aux: Tensor) -> Tensor:
    """Return the mean of x weighted by the softmax of the auxiliary logits, (B, C, 1, 1)."""
    weights = aux.flatten(2).softmax(dim=2)  # (B, 1, h*w)
    return torch.einsum("bcn,bkn->bc", x.flatten(2), weights)[:, :, None, None]
