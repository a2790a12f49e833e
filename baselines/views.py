"""Views: parts of an image that OpenCV resizes for a network, and answers that it resizes back.

FocusCut and FCA-Net resize images as whole numbers, which rounds colours. Not here: which part of
an image a view shows, and where clicks lie in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isbench.nn.inference.passes import HostRequest, Requests, refuse_nan
from isbench.types import Image, Mask

Map = NDArray[np.float32]  # (H, W) probabilities
_LONGEST = 4096  # pixels; a view of a narrow strip would be as long as memory allows


def scale_to_short_side(shape: Sequence[int], side: int) -> tuple[int, int]:
    """Return the rows and columns of an image of `shape` whose shorter side becomes `side`.

    Fractions are cut off. Where the longer side would exceed 4096 pixels, it becomes 4096 instead,
    which the official codes do not do.
    """
    rows, cols = shape[:2]
    shorter, longer = sorted((rows, cols))
    if side * longer // shorter > _LONGEST:
        side, shorter = _LONGEST, longer
    return max(1, int(side * rows / shorter)), max(1, int(side * cols / shorter))


def resize_image(image: Image, size: tuple[int, int]) -> Image:
    """Return an image resized bilinearly, its colours rounded to whole numbers."""
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def resize_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """Return a mask resized to the nearest pixels."""
    found = cv2.resize(mask.view(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(found, bool)


def resize_probabilities(probabilities: Map, size: tuple[int, int]) -> Map:
    """Return a map resized bilinearly."""
    found = cv2.resize(probabilities, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(found, np.float32)


def stack_images(images: Sequence[Image], device: str) -> Tensor:
    """Return images of one size as RGB in [0, 1], (B, 3, H, W)."""
    pixels = torch.from_numpy(np.stack(images)).to(device)
    return pixels.permute(0, 3, 1, 2).float() / 255


def stack_maps(maps: Sequence[NDArray[np.float32] | Mask], device: str) -> Tensor:
    """Return (H, W) maps of one size as (B, 1, H, W)."""
    return torch.from_numpy(np.stack(maps)).to(device).float()[:, None]


def copy_probabilities(logits: Tensor) -> Requests[list[Map]]:
    """Return the probabilities of logits (B, 1, H, W), each (H, W), on the host.

    Raises ValueError for probabilities that are not numbers.
    """
    probabilities = torch.sigmoid(logits.float())
    found: list[Map] = yield HostRequest(tuple(probabilities[:, 0]))
    refuse_nan(any(np.isnan(one).any() for one in found))
    return found
