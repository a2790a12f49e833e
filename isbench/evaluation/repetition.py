"""Notices a model that answers the same turn differently twice: a few turns are asked again.

Not here: the other laws of the contract (`isbench.testing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isbench.evaluation.session import ObjectTurn, PredictorSession
from isbench.types import Encoded, Image, Mask, Prediction, Predictor, State, Turn

_CALLS = 2  # of `predict` whose turns are asked again


@dataclass
class RepeatedTurns:
    """A predictor that asks its first turns again: `later`, or in the same call.

    Later, the call takes no longer, but no other thread may use the predictor then.
    """

    predictor: Predictor
    later: bool = True
    _asked: list[tuple[Turn, Mask]] = field(default_factory=list)
    _calls: int = 0
    _differing: int = 0  # pixels that changed so far

    def begin(self, image: Image) -> Encoded:
        """Return the predictor's encoding."""
        return self.predictor.begin(image)

    def start(self, encoded: Encoded, initial: Mask | None) -> State:
        """Return the predictor's state."""
        return self.predictor.start(encoded, initial)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Return the predictor's answers; the first calls are repeated."""
        answers = self.predictor.predict(turns)
        if self._calls < _CALLS and _are_masks(answers, turns):
            self._calls += 1
            masks = [answer.mask.copy() for answer in answers]
            if self.later:
                self._asked += zip(turns, masks, strict=True)
            else:
                again = self.predictor.predict(turns)
                if _are_masks(again, turns):
                    self._differing += sum(map(_count_pixels, (one.mask for one in again), masks))
        return answers

    def count_differences(self, key: str) -> int:
        """Ask the turns that are left to ask again, and return how many pixels changed in all.

        Raises PredictorError, which names the object `key`, for a broken contract.
        """
        asked, self._asked = self._asked, []
        session = PredictorSession(self.predictor)
        for turn, mask in asked:
            (again,) = session.predict([ObjectTurn(key, mask.shape, turn)])
            self._differing += _count_pixels(again.mask, mask)
        return self._differing


def _are_masks(answers: Any, turns: Sequence[Turn]) -> bool:
    """Whether answers are a mask per turn; the session says what is wrong with others."""
    if not isinstance(answers, Sequence) or len(answers) != len(turns):
        return False
    return all(isinstance(one, Prediction) and isinstance(one.mask, np.ndarray) for one in answers)


def _count_pixels(mask: Mask, other: Mask) -> int:
    return int(np.count_nonzero(mask != other)) if mask.shape == other.shape else other.size
