"""A predictor at work: it encodes an image once, starts objects, and its answers are checked.

Used wherever a model is asked: games, replays, the demo and the check of the contract. Not here:
where the clicks come from, and when a game ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from traceback import format_exc
from typing import NamedTuple

import numpy as np

from isbench.errors import IsbenchError, PredictorError, describe_exception
from isbench.types import Click, Encoded, Image, Mask, Prediction, Predictor, State, Turn


class ObjectTurn(NamedTuple):
    """A turn, with the key of its object and the (H, W) of its image."""

    key: str
    shape: tuple[int, ...]
    turn: Turn


@dataclass
class PredictorSession:
    """A predictor and the last image it encoded; objects of one image share the array.

    Every method raises PredictorError, with the object's key, for an exception in the model.
    """

    predictor: Predictor
    _image: Image | None = None
    _encoded: Encoded = None

    def start(self, key: str, image: Image, initial: Mask | None = None) -> State:
        """Return the state of an object before its first click."""
        with _name_object_in_errors(key):
            if image is not self._image:
                # a model may write into its copy, as `torch.from_numpy` can, without harm to others
                copy = image.copy()
                copy.flags.writeable = False
                self._encoded, self._image = self.predictor.begin(copy), image
            return self.predictor.start(self._encoded, None if initial is None else initial.copy())

    def predict(self, turns: Sequence[ObjectTurn]) -> Sequence[Prediction]:
        """Return one prediction per turn; raises PredictorError for a broken contract."""
        with _name_object_in_errors(turns[0].key):
            answers = self.predictor.predict([turn.turn for turn in turns])
        _check_answers(answers, turns)
        return answers

    def try_click(self, key: str, image: Image) -> None:
        """Predict a click in the middle of an image and drop the answer.

        It shows errors early, and libraries compile for the image's shape.
        """
        rows, cols = image.shape[:2]
        turn = Turn(self.start(key, image), (Click(rows // 2, cols // 2, True),))
        self.predict([ObjectTurn(key, (rows, cols), turn)])


@contextmanager
def _name_object_in_errors(key: str) -> Iterator[None]:
    """Turn any exception of a model into a PredictorError that names the object."""
    try:
        yield
    except IsbenchError:
        raise
    except (Exception, SystemExit) as error:  # third-party code may raise anything
        wrapped = PredictorError(f"object {key}: the model raised {describe_exception(error)}")
        wrapped.details = format_exc()
        raise wrapped from error


def _check_answers(answers: Sequence[Prediction], turns: Sequence[ObjectTurn]) -> None:
    """Raise PredictorError unless there is a (H, W) bool mask for each turn."""
    if not isinstance(answers, Sequence) or len(answers) != len(turns):
        got = len(answers) if isinstance(answers, Sequence) else type(answers).__name__
        raise PredictorError(
            f"object {turns[0].key}: predict returned {got} for {len(turns)} turns; "
            "wanted a list with one Prediction per turn"
        )
    for answer, (key, shape, _) in zip(answers, turns, strict=True):
        if not isinstance(answer, Prediction):
            raise PredictorError(
                f"object {key}: predict returned a {type(answer).__name__} for a turn; "
                "wanted an isbench.Prediction(mask, state)"
            )
        mask = answer.mask
        if not isinstance(mask, np.ndarray) or mask.shape != shape or mask.dtype != np.bool_:
            found = getattr(mask, "shape", None)
            kind = type(mask).__name__ if found is None else f"shape {found} of {mask.dtype}"
            raise PredictorError(
                f"object {key}: predict returned a mask of {kind}; wanted shape {shape} of bool"
            )
