"""GrabCut (Rother et al. 2004, doi:10.1145/1015706.1015720) seeded by clicks, on cv2.grabCut.

The paper starts from a box; here a game starts from a disk around the first click. Every click adds
a hard disk of its sign and, around it, a wider disk of soft labels; elsewhere the previous mask
gives the soft labels. The colour models are learned from scratch each turn. In the result only the
components with a positive click are kept, and holes without a negative click are filled. Not here:
the numbers, which are on the card (`classical_cards`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from baselines.working_size import enlarge, resize, scale_clicks, shrink
from isbench.errors import check_option
from isbench.types import Click, Image, Mask, Prediction, Turn

_COMPONENTS = 5  # of each of OpenCV's colour mixtures, which need as many pixels to start from

_MOST_ITERATIONS = 1000  # OpenCV cannot be interrupted


class _State(NamedTuple):
    small: Image  # (h, w, 3), the image at working size
    shape: tuple[int, int]  # rows and columns of the image
    mask: Mask  # (h, w), the last mask at working size
    answered: int  # number of clicks that the mask already reflects


@dataclass(frozen=True)
class GrabCut:
    """The predictor; `seed` and `reach` are relative to the image's longer side."""

    longer_side: int  # of the working size, in pixels; smaller images are not enlarged
    seed: float  # radius of the hard disk of a click
    reach: float  # radius of the soft disk of a click
    iterations: int

    def __post_init__(self) -> None:
        """Raise IsbenchError for impossible numbers."""
        side, iterations = self.longer_side, self.iterations
        check_option("longer_side", side, side >= 16, "at least 16")
        wanted = f"1 to {_MOST_ITERATIONS}"
        check_option("iterations", iterations, 1 <= iterations <= _MOST_ITERATIONS, wanted)
        check_option("seed", self.seed, 0 < self.seed <= 1, "above 0, at most 1")
        wanted = f"at least seed, {self.seed}, and at most 1"
        check_option("reach", self.reach, self.seed <= self.reach <= 1, wanted)

    def begin(self, image: Image) -> tuple[Image, tuple[int, int]]:
        """Return the image at working size, and its own size."""
        return shrink(image, self.longer_side), (image.shape[0], image.shape[1])

    def start(self, encoded: tuple[Image, tuple[int, int]], initial: Mask | None) -> _State:
        """Return the state before the first click."""
        small, shape = encoded
        mask = np.zeros(shape, bool) if initial is None else initial
        return _State(small, shape, resize(mask, small.shape), 0)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Answer each turn independently."""
        return [self._answer(turn) for turn in turns]

    def _answer(self, turn: Turn) -> Prediction:
        state: _State = turn.state
        clicks = tuple(scale_clicks(turn.clicks, state.shape, state.small.shape))
        mask = self._segment(state, clicks)
        full = enlarge(mask, state.shape, turn.clicks)
        return Prediction(full, state._replace(mask=mask, answered=len(clicks)))

    def _segment(self, state: _State, clicks: Sequence[Click]) -> Mask:
        labels = np.where(state.mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        side = max(labels.shape)
        for click in clicks[state.answered :]:
            soft = cv2.GC_PR_FGD if click.positive else cv2.GC_PR_BGD
            cv2.circle(labels, (click.col, click.row), round(self.reach * side), soft, -1)
        for click in clicks:
            hard = cv2.GC_FGD if click.positive else cv2.GC_BGD
            cv2.circle(labels, (click.col, click.row), max(1, round(self.seed * side)), hard, -1)
        foreground = int(np.count_nonzero(labels & 1))  # the two foreground labels are odd
        if min(foreground, labels.size - foreground) >= _COMPONENTS:
            cv2.setRNGSeed(0)  # its k-means uses a random generator shared by the process
            models = np.zeros((1, 65)), np.zeros((1, 65))
            no_box = (0, 0, 0, 0)  # the labels say where the object is
            cv2.grabCut(
                state.small, labels, no_box, *models, self.iterations, cv2.GC_INIT_WITH_MASK
            )
        return _clean_up((labels & 1).astype(bool), clicks)


def _clean_up(mask: Mask, clicks: Sequence[Click]) -> Mask:
    """Keep the components with a positive click and fill the holes without a negative one."""
    _, parts = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    labels_held = {parts[c.row, c.col] for c in clicks if c.positive and mask[c.row, c.col]}
    kept = np.isin(parts, [*labels_held]) & mask
    outside = np.pad(~kept, 1, constant_values=True).view(np.uint8)
    _, gaps = cv2.connectedComponents(outside, connectivity=4)
    # gap 1 is the outside: the padding's corner comes first; a hole with a negative click stays
    gaps_to_keep = {1} | {gaps[c.row + 1, c.col + 1] for c in clicks if not c.positive}
    return kept | ~np.isin(gaps[1:-1, 1:-1], [0, *gaps_to_keep])
