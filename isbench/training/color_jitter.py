"""Random colour jitter: brightness, contrast, per-channel shift, and conversion to grey."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from isbench.training.recipe import Augmentation


def jitter_colors(
    image: NDArray[np.uint8], recipe: Augmentation, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the (H, W, 3) image with jittered colours, by one lookup table per channel."""
    if rng.random() < recipe.grayscale:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        image = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    return np.asarray(cv2.LUT(image, draw_table(recipe, rng)), np.uint8)


def draw_table(recipe: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a random (1, 256, 3) lookup table from old to new levels."""
    levels = np.arange(256, dtype=np.float64)[:, None]
    if rng.random() < recipe.jitter_colors:
        contrast = rng.uniform(recipe.contrast.low, recipe.contrast.high)
        brightness = rng.uniform(recipe.brightness.low, recipe.brightness.high)
        levels = levels * (1 + contrast) + 255 * brightness
    shift = np.zeros(3)
    if rng.random() < recipe.jitter_colors:
        shift = rng.uniform(-recipe.shift, recipe.shift, size=3)
    return np.clip(np.rint(levels + shift), 0, 255).astype(np.uint8)[None]
