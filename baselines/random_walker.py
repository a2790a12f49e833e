"""Random walker (Grady 2006, doi:10.1109/TPAMI.2006.233) seeded by clicks, on scikit-image.

Each unseeded pixel takes the sign of the seed that a random walk over similar pixels most likely
reaches first. The seeds are disks around the clicks; without a negative click the image's border
serves as one, except where a positive click covers it. Differs from the paper: it runs at a smaller
working size. Needs the extra `walker`. Not here: the numbers, which are on the card
(`classical_cards`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import random_walker

from baselines.working_size import enlarge, scale_clicks, shrink
from isbench.errors import check_option
from isbench.types import Click, Image, Mask, Prediction, Turn

_OBJECT, _BACKGROUND = 1, 2  # labels of scikit-image; 0 is unlabelled


class _State(NamedTuple):
    small: Image  # (h, w, 3), the image at working size
    shape: tuple[int, int]  # rows and columns of the image


@dataclass(frozen=True)
class RandomWalker:
    """The predictor."""

    longer_side: int  # of the working size, in pixels; smaller images are not enlarged
    seed: float  # radius of a click's disk, as a share of the longer side
    beta: float  # how strongly colour differences hinder the walk

    def __post_init__(self) -> None:
        """Raise IsbenchError for impossible numbers."""
        check_option("longer_side", self.longer_side, self.longer_side >= 16, "at least 16")
        check_option("seed", self.seed, 0 < self.seed <= 1, "above 0, at most 1")
        check_option("beta", self.beta, 0 < self.beta < inf, "above 0")

    def begin(self, image: Image) -> _State:
        """Return the image at working size, and its own size."""
        return _State(shrink(image, self.longer_side), (image.shape[0], image.shape[1]))

    def start(self, encoded: _State, initial: Mask | None) -> _State:
        """Return the state, which never changes: a prediction depends on the clicks alone."""
        return encoded

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer each turn independently."""
        return [self._answer(turn) for turn in turns]

    def _answer(self, turn: Turn) -> Prediction:
        state: _State = turn.state
        seeds = self._seeds(state, turn.clicks)
        mask = seeds == _OBJECT
        if mask.any():  # without an object seed there is nothing to solve
            labels = random_walker(state.small, seeds, beta=self.beta, mode="bf", channel_axis=-1)
            mask = labels == _OBJECT
        return Prediction(enlarge(mask, state.shape, turn.clicks), state)

    def _seeds(self, state: _State, clicks: Sequence[Click]) -> NDArray[np.uint8]:
        height, width = state.small.shape[:2]
        seeds = np.zeros((height, width), np.uint8)
        if all(click.positive for click in clicks):
            seeds[[0, -1], :] = seeds[:, [0, -1]] = _BACKGROUND
        radius = max(1, round(self.seed * max(height, width)))
        for row, col, positive in scale_clicks(clicks, state.shape, seeds.shape):
            cv2.circle(seeds, (col, row), radius, _OBJECT if positive else _BACKGROUND, -1)
        return seeds
