"""The step that games, replays, the demo and the contract's check share."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from isbench.errors import PredictorError
from isbench.evaluation.replay import replay_masks
from isbench.evaluation.session import ObjectTurn, PredictorSession
from isbench.types import Click, Image, Turn
from tests.support import toys


class Counting(toys.Disks):
    begun: int = 0

    def begin(self, image: Image) -> tuple[int, ...]:
        object.__setattr__(self, "begun", self.begun + 1)
        return super().begin(image)


def test_an_image_is_encoded_once_for_consecutive_objects() -> None:
    predictor, images = Counting(), [toys.blob(number).image for number in (0, 3)]
    session = PredictorSession(predictor)
    for image in (images[0], images[0], images[1], images[0]):
        session.start("image#1", image)
    assert predictor.begun == 3


class Failing(toys.Disks):
    """Raises in one of its functions."""

    def __init__(self, where: str) -> None:
        super().__init__()
        object.__setattr__(self, where, self.fail)

    def fail(self, *_: object) -> Any:
        raise ZeroDivisionError("one divided by zero")


@pytest.mark.parametrize("where", ["begin", "start", "predict"])
def test_whatever_a_model_raises_names_the_object_in_a_replay(where: str) -> None:
    sample = toys.blob(4)
    with pytest.raises(PredictorError, match="object image001#1: the model raised ZeroDivision"):
        list(replay_masks(Failing(where), sample, [Click(3, 3, True)]))


def test_an_image_that_could_not_be_encoded_is_encoded_again() -> None:
    image = toys.blob(0).image
    session = PredictorSession(Failing("begin"))
    for _ in range(2):
        with pytest.raises(PredictorError):
            session.start("image#1", image)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (toys.wrong_shape, r"object b: predict returned a mask of shape \(3, 3\) of bool"),
        (toys.too_few, "object a: predict returned 0 for 2 turns"),
    ],
)
def test_answers_are_checked_and_named(answer: Callable[..., Any], said: str) -> None:
    state, clicks = np.zeros((20, 30, 3), np.uint8), (Click(0, 0, True),)
    turns = [
        ObjectTurn("a", (3, 3), Turn(state, clicks)),
        ObjectTurn("b", (20, 30), Turn(state, clicks)),
    ]
    with pytest.raises(PredictorError, match=said):
        PredictorSession(toys.Broken(answer)).predict(turns)


class Wordless(Exception):
    """An exception whose text cannot be made."""

    def __str__(self) -> str:
        raise AttributeError("no words")


def test_an_exception_without_a_text_names_the_object_too() -> None:
    class Silent(toys.Disks):
        def begin(self, image: Any) -> Any:
            raise Wordless

    with pytest.raises(PredictorError, match=r"image001#1: the model raised Wordless: \(no text"):
        list(replay_masks(Silent(), toys.blob(4), [Click(3, 3, True)]))


def test_a_model_that_writes_into_its_image_changes_no_other_game() -> None:
    class Painter(toys.Disks):
        def begin(self, image: Any) -> Any:
            pixels = torch.from_numpy(image)  # which forgets that the array is read-only
            pixels.zero_()
            return super().begin(image)

    sample = toys.blob(4)
    before = sample.image.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        list(replay_masks(Painter(), sample, [Click(3, 3, True)]))
    np.testing.assert_array_equal(sample.image, before)
