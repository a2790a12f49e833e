"""Working at a smaller size than the image's: image and clicks down, mask up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.types import Click, Image, Mask


def shrink(image: Image, longer_side: int) -> Image:
    """Return the image, downscaled if its longer side exceeds `longer_side` pixels."""
    height, width = image.shape[:2]
    scale = longer_side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def scale_clicks(
    clicks: Sequence[Click], shape: tuple[int, int], small: tuple[int, ...]
) -> Iterator[Click]:
    """Yield the clicks of an image of `shape`, mapped to an image of shape `small`."""
    rows, cols = small[0] / shape[0], small[1] / shape[1]
    for row, col, positive in clicks:
        yield Click(int((row + 0.5) * rows), int((col + 0.5) * cols), positive)


def resize(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """Return the mask at another size, interpolated linearly and thresholded at one half."""
    levels: NDArray[np.float32] = mask.astype(np.float32)
    size = shape[1], shape[0]
    return np.greater(cv2.resize(levels, size, interpolation=cv2.INTER_LINEAR), 0.5)


def enlarge(mask: Mask, shape: tuple[int, int], clicks: Sequence[Click]) -> Mask:
    """Return the mask at the image's size, with each clicked pixel set to its click's sign."""
    full = resize(mask, shape)
    for row, col, positive in clicks:
        full[row, col] = positive
    return full
