"""How FocalClick's refiner is trained: focus crops of samples, their borders, and the loss.

Written from a description of the paper and its code. Choices of this project, since the description
does not say it: a window at the border is measured by the object's box, the jitter moves a crop's
centre by a share of that box, borders are found in the crop as the refiner sees it, and before it
is clipped a crop has at least ten rows and columns, as zoom-in has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from isbench.nn.inference.zoom_in import Box, bounding_box
from isbench.nn.losses import binary_cross_entropy
from isbench.nn.stem import resize_bilinear, resize_centred
from isbench.types import Mask

_AT_BORDER = 0.4  # probability of a window at the border of an object that is large enough
_LARGE = 3600  # fewest pixels of such an object
_PARTS = 1.5, 3.9  # size of the object's box relative to that of the window
_RATIOS = 1.1, 1.6  # size of a crop around the object relative to its box
_JITTER = 0.3  # how far the crop's centre is moved at most, relative to the object's box
_LEAST = 10  # fewest rows and columns of a crop before it is clipped
_COARSE = 8  # details are what is lost when a mask is scaled down by this factor
_DILATIONS = 2  # of what is lost, by 3x3
_REACH = _COARSE + _DILATIONS  # how far from an outline details may be, in pixels

_SQUARE = np.ones((3, 3), np.uint8)


def draw_focus_crop(target: NDArray[np.int8], rng: np.random.Generator) -> Box:
    """Draw the crop of a sample that the refiner sees, (H, W) with 1 on the object.

    It surrounds the largest 8-connected component of the object, or is a smaller window centred on
    that component's border. Without an object it is all of the sample.
    """
    shape = target.shape[0], target.shape[1]
    mask = _find_largest(target == 1)
    if not mask.any():
        return Box(0, shape[0] - 1, 0, shape[1] - 1)
    box = bounding_box(mask)
    border = np.argwhere(_find_border(mask))
    if np.count_nonzero(mask) >= _LARGE and len(border) and rng.random() < _AT_BORDER:
        part = rng.uniform(*_PARTS)
        row, col = border[rng.integers(len(border))]
        return _clip((row, col), (box.height / part, box.width / part), shape)
    ratio, (down, right) = rng.uniform(*_RATIOS), rng.uniform(-_JITTER, _JITTER, size=2)
    row = (box.top + box.bottom) / 2 + down * box.height
    col = (box.left + box.right) / 2 + right * box.width
    return _clip((row, col), (ratio * box.height, ratio * box.width), shape)


def _find_largest(mask: Mask) -> Mask:
    """Return the largest component of a mask; without one, the empty mask."""
    count, labels, facts, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    if count == 1:
        return mask
    largest: Mask = labels == 1 + int(np.argmax(facts[1:, cv2.CC_STAT_AREA]))
    return largest


def _find_border(mask: Mask) -> Mask:
    """Return the pixels with neighbours both inside and outside of the mask."""
    pixels = mask.view(np.uint8)
    border: Mask = cv2.dilate(pixels, _SQUARE) > cv2.erode(pixels, _SQUARE)
    return border


def _clip(centre: tuple[float, float], sides: tuple[float, float], shape: tuple[int, int]) -> Box:
    top, bottom = _clip_interval(centre[0], sides[0], shape[0])
    left, right = _clip_interval(centre[1], sides[1], shape[1])
    return Box(top, bottom, left, right)


def _clip_interval(centre: float, length: float, extent: int) -> tuple[int, int]:
    half = max(length, _LEAST) / 2
    return max(0, round(centre - half)), min(extent - 1, round(centre + half) - 1)


def crop_views(x: Tensor, boxes: Sequence[Sequence[int]], size: tuple[int, int]) -> Tensor:
    """Return a box (first and last row, first and last column) of each of a batch, resized."""
    crops = [
        resize_bilinear(one[None, :, top : bottom + 1, left : right + 1], size)
        for one, (top, bottom, left, right) in zip(x, boxes, strict=True)
    ]
    return torch.cat(crops)


def map_points(points: Tensor, boxes: Sequence[Sequence[int]], size: tuple[int, int]) -> Tensor:
    """Return the clicks (B, 2K, 3) in boxes that are resized to `size`; unused places stay so."""
    edges = points.new_tensor(boxes)[:, None]  # (B, 1, 4)
    first, last = edges[..., ::2], edges[..., 1::2]
    places = (points[..., :2] - first) * points.new_tensor(size) / (last - first + 1)
    used = points[..., :2].amax(dim=-1, keepdim=True) >= 0
    return torch.cat([torch.where(used, places, -1), points[..., 2:]], dim=-1)


def crop_targets(target: Tensor, boxes: Sequence[Sequence[int]], size: tuple[int, int]) -> Tensor:
    """Return boxes of (B, 1, H, W) targets, resized; what touches an ignored pixel is ignored."""
    mask = crop_views((target > 0.5).float(), boxes, size) > 0.5
    ignored = crop_views((target < 0).float(), boxes, size) > 0
    return mask.to(target.dtype).masked_fill(ignored, -1)


def find_trimap(target: Tensor) -> Tensor:
    """Return where a target (B, 1, H, W) has details: 1 there, 0 elsewhere, -1 where it is ignored.

    Details are what changes when the mask is scaled down and up again, dilated. An ignored pixel
    would make details of what is next to it, so its surroundings are ignored too.
    """
    mask, size = (target > 0.5).float(), target.shape[-2:]
    small = max(1, size[0] // _COARSE), max(1, size[1] // _COARSE)
    coarse = (resize_centred(mask, small) > 0.5).float()
    lost = ((resize_centred(coarse, size) > 0.5) != (mask > 0.5)).float()
    for _ in range(_DILATIONS):
        lost = F.max_pool2d(lost, 3, stride=1, padding=1)
    near = (target < 0).float()
    for row, col in ((_REACH, 0), (0, _REACH)):  # rows, then columns: far fewer comparisons
        near = F.max_pool2d(near, (2 * row + 1, 2 * col + 1), stride=1, padding=(row, col))
    return lost.masked_fill(near > 0, -1)


def focus_loss(
    refined: Tensor,
    trimap: Tensor,
    boxes: Sequence[Sequence[int]],
    target: Tensor,
    mask_loss: Callable[..., Tensor],
) -> Tensor:
    """Return the loss of the refiner's logits in boxes of a target (B, 1, H, W), (B,).

    It is the sum of `mask_loss` of the refined logits, in which details count twice, and of the
    cross-entropy of the trimap's logits.
    """
    wanted = crop_targets(target, boxes, (refined.shape[-2], refined.shape[-1]))
    details = find_trimap(wanted)
    weights = 0.5 + 0.5 * details.clamp(min=0)
    return mask_loss(refined, wanted, weights=weights) + binary_cross_entropy(trimap, details)
