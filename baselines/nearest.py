"""Nearest: each pixel takes the sign of the click nearest in position and colour. No weights.

A test of the benchmark rather than a method: it uses integers only, so its games are the same on
every machine.

D_i(p) = (r - r_i)^2 + (c - c_i)^2 + 6 ((R - R_i)^2 + (G - G_i)^2 + (B - B_i)^2); a pixel takes the
sign of the click with the smallest D, the earliest winning ties. No threshold, no zoom, no flip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isbench.types import Click, Image, Mask, ModelCard, Prediction, Turn

COLOUR_WEIGHT = 6


class _State(NamedTuple):
    image: Image
    distance: NDArray[np.int32]  # (H, W), to the nearest click so far
    mask: Mask
    answered: int  # number of clicks that both already reflect


class Nearest:
    """The predictor; see the module."""

    def begin(self, image: Image) -> Image:
        """Return the image itself: there is nothing to encode."""
        return image

    def start(self, encoded: Image, initial: Mask | None) -> _State:
        """Return the state before the first click, with the initial mask if there is one."""
        shape = encoded.shape[:2]
        far = np.full(shape, np.iinfo(np.int32).max, np.int32)
        return _State(encoded, far, np.zeros(shape, bool) if initial is None else initial, 0)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer each turn independently."""
        return [_answer(turn) for turn in turns]


def _answer(turn: Turn) -> Prediction:
    state: _State = turn.state
    distance, mask = state.distance, state.mask
    for click in turn.clicks[state.answered :]:
        to_click = _distance(state.image, click)
        nearer = to_click < distance  # strictly: an equal earlier click keeps its pixels
        distance = np.minimum(distance, to_click)
        mask = mask | nearer if click.positive else mask > nearer
    return Prediction(mask, _State(state.image, distance, mask, len(turn.clicks)))


def _distance(image: Image, click: Click) -> NDArray[np.int32]:
    """Return D of every pixel to one click, (H, W)."""
    height, width = image.shape[:2]
    rows = np.arange(height, dtype=np.int32)[:, None] - click.row
    cols = np.arange(width, dtype=np.int32)[None, :] - click.col
    levels = np.arange(256, dtype=np.int32)
    place = rows * rows + cols * cols
    for channel in range(3):
        table = COLOUR_WEIGHT * (levels - np.int32(image[click.row, click.col, channel])) ** 2
        place += table[image[:, :, channel]]
    return place


card = ModelCard(
    name="nearest",
    build=Nearest,
    summary="each pixel takes the sign of the click nearest in position and colour",
    source="defined by isbench",
    licence="MIT",
)
