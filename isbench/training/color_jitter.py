"""Colours changed at random: brightness, contrast, a shift of each channel, or none left."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.training.recipe import Augmentation


def jitter_colors(
    image: NDArray[np.uint8], views: Augmentation, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the (H, W, 3) image in other colours; each level of a channel goes to one level."""
    if rng.random() < views.grey:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        image = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    return np.asarray(cv2.LUT(image, draw_table(views, rng)), np.uint8)


def draw_table(views: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the (1, 256, 3) table of levels."""
    levels = np.arange(256, dtype=np.float64)[:, None]
    if rng.random() < views.coloured:
        contrast = rng.uniform(views.contrast.low, views.contrast.high)
        brightness = rng.uniform(views.brightness.low, views.brightness.high)
        levels = levels * (1 + contrast) + 255 * brightness
    shift = np.zeros(3)
    if rng.random() < views.coloured:
        shift = rng.uniform(-views.shift, views.shift, size=3)
    return np.clip(np.rint(levels + shift), 0, 255).astype(np.uint8)[None]
