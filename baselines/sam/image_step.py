"""From images to the frame of 1024 pixels that the encoders see, and from masks in it back.

Three published ways to resize differ by about a level of colour: `rclicks` resizes floating-point
values (RClicks, arXiv:2410.11722), `official` is that of the official predictors, and
`transformers` rounds to whole levels. Resized on the CPU, so that devices see the same pixels.

Checked against the games of the official SAM (tests/baselines/test_sam_games.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from PIL import Image as Pictures
from torch import Tensor
from torch.nn import functional as F

from baselines.sam.network import FRAME, MASK
from isbench.types import Image, Mask

STEPS = ("rclicks", "official", "transformers")
_MEAN, _DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of RGB from 0 to 255
_CERTAIN = 10.0  # logit of a pixel of an initial mask


class Frame(NamedTuple):
    """Where an image is in the frame."""

    shape: tuple[int, int]  # rows and columns of the image
    inside: tuple[int, int]  # rows and columns of the frame that it fills, from the top left
    square: bool  # it fills the frame, whatever its shape [SAM 2]


def fit_frame(shape: tuple[int, int], square: bool) -> Frame:
    """Return the place of an image: its longer side fills the frame, with `square` both sides."""
    if square:
        return Frame(shape, (FRAME, FRAME), square)
    scale = FRAME / max(shape)
    rows, cols = (max(1, int(side * scale + 0.5)) for side in shape)
    return Frame(shape, (rows, cols), square)


def draw_frame(image: Image, frame: Frame, step: str) -> Tensor:
    """Return the normalised image in its frame, (1, 3, 1024, 1024); the rest is zero."""
    pixels = _resize(image, frame, step)
    mean, deviation = (torch.tensor(x).reshape(1, 3, 1, 1) for x in (_MEAN, _DEVIATION))
    rows, cols = frame.inside
    return F.pad((pixels - mean) / deviation, (0, FRAME - cols, 0, FRAME - rows))


def _resize(image: Image, frame: Frame, step: str) -> Tensor:
    """Return an image at its size in the frame, (1, 3, h, w) from 0 to 255."""
    rows, cols = frame.inside
    if step == "official" and not frame.square:  # SAM 2's resizes floating-point values
        picture = Pictures.fromarray(image).resize((cols, rows), Pictures.Resampling.BILINEAR)
        return _to_tensor(np.asarray(picture)).float()
    values = _to_tensor(image)
    if step != "transformers":
        values = values.float()
    return F.interpolate(values, size=frame.inside, mode="bilinear", antialias=True).float()


def _to_tensor(image: Image) -> Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).copy())[None]


def map_point(row: int, col: int, frame: Frame) -> tuple[float, float]:
    """Return a pixel of the image as (x, y) in the frame."""
    (height, width), (rows, cols) = frame.shape, frame.inside
    return col * (cols / width), row * (rows / height)


def enlarge(logits: Tensor, frame: Frame) -> Tensor:
    """Return (1, 1, 256, 256) logits at the size of the image, (1, 1, H, W)."""
    if not frame.square:
        rows, cols = frame.inside
        logits = _interpolate(logits, (FRAME, FRAME))[..., :rows, :cols]
    return _interpolate(logits, frame.shape)


def shrink(mask: Mask, frame: Frame) -> Tensor:
    """Return a mask as (1, 1, 256, 256) logits, from -10 outside to 10 inside by the share.

    It is the share of what a cell has of the image; cells beyond the image are outside.
    """
    values = torch.from_numpy(mask)[None, None].float()
    inside = F.interpolate(values, size=frame.inside, mode="bilinear", antialias=True)
    rows, cols = frame.inside
    both = torch.cat([inside, torch.ones_like(inside)], dim=1)
    pooled = F.avg_pool2d(F.pad(both, (0, FRAME - cols, 0, FRAME - rows)), FRAME // MASK)
    share = pooled[:, :1] / pooled[:, 1:].clamp(min=1 / FRAME)  # a cell has 1/16 of it or more
    return _CERTAIN * (2 * share - 1)


def _interpolate(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
