"""SimpleClick's network: a plain vision transformer, a simple feature pyramid, an all-MLP head.

Written from a description of the paper (arXiv:2210.11006) and its code; ViT-B is equal to the
official network under synthetic weights, and the keys of all sizes are those of the official
checkpoints (tests/baselines/test_simpleclick.py). The class token, `fc_norm`, the classifier and
the head's two upsampling layers are in the files and are not computed, as in the original.

Differs: the position embedding is resized in every pass and the parameter stays as it is, so one
model plays data sets with different crops.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.simpleclick.sizes import Sizes
from isbench.errors import IsbenchError
from isbench.nn.clickmaps import draw_disks
from isbench.nn.network import example_image, example_points
from isbench.nn.stem import normalize, resize_bilinear

STEP = 224  # pixels: sides of the network's input are multiples of it; a window covers as much
_RADIUS = 5.0  # of the disks around clicks, in pixels
_GRID = 448  # pixels that the position embedding of a file covers
_CLASSES = 1000  # of the classifier of the pretraining, which is not used
_EPS = 1e-6


class SimpleClick(nn.Module):
    """(B, 4, H, W) inputs and (B, 2K, 5) points to logits; H and W are multiples of 224."""

    checkpoint_config: ClassVar[Mapping[str, Any]] = {
        "use_disks": True,
        "norm_radius": 5,
        "with_prev_mask": True,
    }

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.patch_embed_coords = PatchEmbedding(sizes)
        self.backbone = Backbone(sizes)
        self.neck = Neck(sizes)
        self.head = Head(sizes)

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor]:
        """Return the logits (B, 1, H, W).

        Raises IsbenchError for a side that is not a multiple of 224.
        """
        size = inputs.shape[-2], inputs.shape[-1]
        if size[0] % STEP or size[1] % STEP:
            raise IsbenchError(
                f"an input of SimpleClick has {int(size[0])}x{int(size[1])} pixels; wanted "
                f"multiples of {STEP}, the side of an attention window"
            )
        maps = torch.cat([inputs[:, 3:], draw_disks(clicks, size, _RADIUS)], dim=1)
        tokens = self.backbone(normalize(inputs[:, :3]), self.patch_embed_coords(maps))
        return (resize_bilinear(self.head(self.neck(tokens)), size),)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image and clicks, the sides rounded up to multiples of 224."""
        rows, cols = (-(-side // STEP) * STEP for side in size)
        return example_image((rows, cols)), example_points((rows, cols), points)


class PatchEmbedding(nn.Module):
    """(B, 3, H, W) -> tokens (B, H/p, W/p, D)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, sizes.width, sizes.patch, stride=sizes.patch)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens."""
        tokens: Tensor = self.proj(x).permute(0, 2, 3, 1)
        return tokens


class Backbone(nn.Module):
    """The vision transformer: (B, 3, H, W) and more tokens to add -> (B, D, H/p, W/p)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.side = _GRID // sizes.patch  # tokens of a side of the position embedding
        self.cls_token = nn.Parameter(torch.zeros(1, 1, sizes.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.side**2, sizes.width))
        self.patch_embed = PatchEmbedding(sizes)
        window = STEP // sizes.patch
        self.blocks = nn.ModuleList(
            Block(sizes, None if number % sizes.period == 0 else window)
            for number in range(1, sizes.depth + 1)
        )
        self.fc_norm = nn.LayerNorm(sizes.width, eps=_EPS)
        self.head = nn.Linear(sizes.width, _CLASSES)
        nn.init.normal_(self.pos_embed, std=0.02)

    def forward(self, image: Tensor, maps: Tensor) -> Tensor:
        """Return the map of the last block's tokens."""
        x: Tensor = self.patch_embed(image) + maps
        x = x + self.resize_positions(x.shape[1], x.shape[2])
        for block in self.blocks:
            x = block(x)
        return x.permute(0, 3, 1, 2)

    def resize_positions(self, rows: int, cols: int) -> Tensor:
        """Return the position embedding for a grid of tokens, (1, rows, cols, D)."""
        grid = self.pos_embed[:, 1:].reshape(1, self.side, self.side, -1).permute(0, 3, 1, 2)
        resized = F.interpolate(grid, size=(rows, cols), mode="bicubic", align_corners=False)
        return resized.permute(0, 2, 3, 1)


class Block(nn.Module):
    """A pre-norm transformer block on (B, H, W, D) tokens, in windows of `window` tokens a side."""

    def __init__(self, sizes: Sizes, window: int | None) -> None:
        super().__init__()
        self.window = window  # None: attention to all tokens
        self.norm1 = nn.LayerNorm(sizes.width, eps=_EPS)
        self.norm2 = nn.LayerNorm(sizes.width, eps=_EPS)
        self.attn = Attention(sizes)
        self.mlp = Mlp(sizes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens (B, H, W, D)."""
        tokens: Tensor = x.flatten(1, 2) if self.window is None else split_windows(x, self.window)
        tokens = tokens + self.attn(self.norm1(tokens))
        tokens = tokens + self.mlp(self.norm2(tokens))
        if self.window is None:
            return tokens.reshape(x.shape)
        return join_windows(tokens, self.window, x.shape[1], x.shape[2])


def split_windows(x: Tensor, window: int) -> Tensor:
    """Return the tokens (B, H, W, D) of each window: (windows, window * window, D)."""
    _, rows, cols, width = x.shape
    x = x.reshape(-1, rows // window, window, cols // window, window, width)
    return x.transpose(2, 3).reshape(-1, window * window, width)


def join_windows(x: Tensor, window: int, rows: int, cols: int) -> Tensor:
    """Return the windows' tokens as (B, H, W, D); the inverse of `split_windows`."""
    width = x.shape[-1]
    x = x.reshape(-1, rows // window, cols // window, window, window, width)
    return x.transpose(2, 3).reshape(-1, rows, cols, width)


class Attention(nn.Module):
    """Attention of the tokens of a group to each other, (groups, N, D) -> (groups, N, D)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.qkv = nn.Linear(sizes.width, 3 * sizes.width)
        self.proj = nn.Linear(sizes.width, sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens."""
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (groups, heads, N, D/heads)
            for part in self.qkv(x).chunk(3, dim=2)
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


class Mlp(nn.Module):
    """The two layers after attention."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.fc1 = nn.Linear(sizes.width, 4 * sizes.width)
        self.fc2 = nn.Linear(4 * sizes.width, sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Neck(nn.Module):
    """The simple feature pyramid: (B, D, h, w) -> maps of 4, 2, 1 and 1/2 times that size."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.width
        finest, fine, same, coarse = sizes.outputs
        twice, once = max(2 * finest, width // 2), max(fine, width // 2)
        less = max(coarse, 2 * width)
        self.down_4 = nn.Sequential(
            nn.ConvTranspose2d(width, twice, 2, stride=2),
            _norm(twice),
            nn.GELU(),
            nn.ConvTranspose2d(twice, twice // 2, 2, stride=2),
            _norm(twice // 2),
            *_project(twice // 2, finest),
        )
        self.down_8 = nn.Sequential(
            nn.ConvTranspose2d(width, once, 2, stride=2), _norm(once), *_project(once, fine)
        )
        self.down_16 = nn.Sequential(*_project(width, same))
        self.down_32 = nn.Sequential(
            nn.Conv2d(width, less, 2, stride=2), _norm(less), *_project(less, coarse)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the maps, the finest first."""
        return self.down_4(x), self.down_8(x), self.down_16(x), self.down_32(x)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(1, channels)


def _project(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 1), _norm(outputs), nn.GELU()


class Head(nn.Module):
    """The all-MLP head: maps of four sizes -> logits at the size of the finest."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        hidden = sizes.hidden
        self.conv_seg = nn.Conv2d(hidden, 1, 1)
        self.convs = nn.ModuleList(ConvRelu(channels, hidden) for channels in sizes.outputs)
        self.fusion_conv = ConvRelu(4 * hidden, hidden)
        self.up_conv1 = _upsample(hidden)
        self.up_conv2 = _upsample(hidden // 2)

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        """Return the logits."""
        size = maps[0].shape[-2:]
        levels = [
            F.interpolate(conv(x), size=size, mode="bilinear", align_corners=False)
            for conv, x in zip(self.convs, maps, strict=True)
        ]
        logits: Tensor = self.conv_seg(self.fusion_conv(torch.cat(levels, dim=1)))
        return logits


class ConvRelu(nn.Module):
    """A 1x1 convolution and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map."""
        return F.relu(self.conv(x))


def _upsample(channels: int) -> nn.Sequential:
    """Return a layer that is in the official files and not used."""
    half = channels // 2
    return nn.Sequential(
        nn.ConvTranspose2d(channels, half, 2, stride=2), _norm(half), *_project(half, half)
    )
