"""FCA-Net's inference: every click anew, on the whole image, whose shorter side becomes 512 pixels.

Written from a description of the official code (frazerlin/fcanet@e7de0ed); around a stand-in for
the network, the games are those of the official predictor (tests/baselines/test_fcanet.py). The
state keeps nothing from click to click.

Differs: the network has no input for a mask, so an initial mask stands for a positive click before
all others, at the pixel deepest inside it; the map of the first click shows the first positive
one, which in the original's games is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
from torch import Tensor

from baselines.distance_maps import measure_distances
from baselines.fcanet.network import make_networks
from baselines.regions import keep_regions
from baselines.views import (
    Map,
    copy_probabilities,
    resize_image,
    resize_probabilities,
    scale_to_short_side,
    stack_images,
    stack_maps,
)
from isbench.errors import check_option
from isbench.nn.inference.passes import ForwardRequest, Passes, compute_games
from isbench.nn.network import Computed
from isbench.nn.runtime.compute import build_networks
from isbench.types import Click, Image, Mask, Prediction, Runtime, Turn

_LARGEST = 4096  # pixels, of a side


class Picture(NamedTuple):
    """An image as the network sees it."""

    pixels: Tensor  # (1, 3, h, w), on the device: RGB in [0, 1]
    shape: tuple[int, int]  # rows and columns of the original image


class State(NamedTuple):
    """The state of an object; an answer depends on its picture and marker only."""

    picture: Picture
    marker: tuple[Click, ...]  # a click in place of the initial mask
    probability: Map | None = None  # (H, W), of the last answer


@dataclass(frozen=True)
class FcaNet:
    """The predictor."""

    network: Computed  # an image and three maps of distances to logits
    runtime: Runtime
    size: int  # shorter side of the image as the network sees it, in pixels
    threshold: float  # probability above which a pixel belongs to the object
    sis: bool  # keep only the parts of the mask that have a positive click

    def __post_init__(self) -> None:
        """Raise IsbenchError for impossible numbers."""
        size, threshold = self.size, self.threshold
        check_option("size", size, 1 <= size <= _LARGEST, f"from 1 to {_LARGEST} pixels")
        check_option("threshold", threshold, 0 < threshold < 1, "above 0 and below 1")

    def begin(self, image: Image) -> Picture:
        """Return the image as the network sees it."""
        resized = resize_image(image, scale_to_short_side(image.shape, self.size))
        return Picture(stack_images([resized], self.runtime.device), image.shape[:2])

    def start(self, encoded: Picture, initial: Mask | None) -> State:
        """Return the state before the first click."""
        return State(encoded, () if initial is None else _mark(initial))

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer each turn."""
        return compute_games([self._answer(*turn) for turn in turns], self.runtime)

    def _answer(self, state: State, clicks: tuple[Click, ...]) -> Passes:
        clicks, picture = (*state.marker, *clicks), state.picture
        size = (picture.pixels.shape[-2], picture.pixels.shape[-1])
        places = [_scale(click, picture.shape, size) for click in clicks]
        positive = [place[:2] for place in places if place.positive]
        negative = [place[:2] for place in places if not place.positive]
        maps = [
            stack_maps([measure_distances(points, size)], self.runtime.device)
            for points in (positive, negative, positive[:1])
        ]
        (logits,) = yield ForwardRequest(self.network, (picture.pixels, *maps))
        (found,) = yield from copy_probabilities(logits)
        probability = resize_probabilities(found, picture.shape)
        mask = np.greater(probability, self.threshold)
        if self.sis:
            mask = keep_regions(mask, [click[:2] for click in clicks if click.positive])
        return Prediction(mask, state._replace(probability=probability))


def _scale(click: Click, shape: tuple[int, int], size: tuple[int, int]) -> Click:
    """Return a click of an image of `shape`, in the image resized to `size`.

    The scale is rounded before it is multiplied, as in the original: the order decides some pixels.
    """
    rows, cols = size[0] / shape[0], size[1] / shape[1]
    return Click(int(click.row * rows), int(click.col * cols), click.positive)


def _mark(mask: Mask) -> tuple[Click, ...]:
    """Return the pixel deepest inside a mask as a positive click; nothing for an empty mask."""
    if not mask.any():
        return ()
    padded = np.pad(mask, 1).view(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    row, col = np.unravel_index(depth.argmax(), depth.shape)
    return (Click(int(row) - 1, int(col) - 1, True),)


def build_predictor(
    backbone: str, size: int, threshold: float, sis: bool, *, runtime: Runtime
) -> FcaNet:
    """Return the predictor of a card."""
    network = build_networks(partial(make_networks, backbone), runtime)["network"]
    return FcaNet(network, runtime, size, threshold, sis)
