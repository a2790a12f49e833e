"""A check of the contract that every model must keep, for the tests of a model's package."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isbench.errors import PredictorError
from isbench.evaluation.engine import check_answers
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.models.registry import load_card
from isbench.models.weights import RANDOM
from isbench.types import (
    Click,
    Image,
    LoadedModel,
    Mask,
    ModelCard,
    Prediction,
    Predictor,
    State,
    Turn,
)

_SIZES = ((48, 64), (33, 47))  # rows and columns of the trial images


def check_predictor(model: LoadedModel | ModelCard | str) -> None:
    """Raise PredictorError unless the model keeps the contract of `isbench.Predictor`.

    Plays a few clicks on small images and checks that every turn gets a (H, W) bool mask, that a
    turn gets the same mask when it is repeated or batched with other turns, that images and
    earlier states stay unchanged, and that clicks in corners, adjacent clicks and clicks of one
    sign are accepted. A network without weights is checked with random weights. A model that is
    `adaptive` may change with every object, so its games are instead played twice, each time by a
    new predictor.
    """
    if not isinstance(model, LoadedModel):
        card = load_card(model) if isinstance(model, str) else model
        weights = None if card.networks is None else RANDOM
        model = load_model(card, weights=weights, device="cpu", backend="eager")
    card = model.card
    if card.adaptive:
        _, first = _play_trials(card, build_predictor(model))
        _, second = _play_trials(card, build_predictor(model))
        for mask, again in zip(first, second, strict=True):
            _check_same(card, again, mask, "when a new predictor played the same games")
    else:
        _check_stateless(card, build_predictor(model))


def _check_stateless(card: ModelCard, predictor: Predictor) -> None:
    """Check a model whose answer depends on nothing but the turn."""
    turns, first = _play_trials(card, predictor)
    for turn, mask in zip(turns, first, strict=True):
        again = _check(card, predictor.predict([turn]), [mask.shape])[0].mask
        _check_same(card, again, mask, "when an earlier turn was repeated")
    together = _check(card, predictor.predict(turns), [mask.shape for mask in first])
    for prediction, mask in zip(together, first, strict=True):
        _check_same(card, prediction.mask, mask, "when turns were batched in one call")
    again_state: State = predictor.start(predictor.begin(_image(*_SIZES[0], 0)), None)
    fresh = _check(card, predictor.predict([Turn(again_state, turns[0].clicks)]), _SIZES[:1])[0]
    _check_same(card, fresh.mask, first[0], "when the object was started again")


def _play_trials(card: ModelCard, predictor: Predictor) -> tuple[list[Turn], list[Mask]]:
    """Return the turns on the trial images, one after the other, and the mask of each."""
    turns: list[Turn] = []
    masks: list[Mask] = []
    for number, (rows, cols) in enumerate(_SIZES):
        image = _image(rows, cols, number)
        state = predictor.start(predictor.begin(image), None)
        clicks: tuple[Click, ...] = ()
        for click in _clicks(rows, cols):
            clicks = (*clicks, click)
            turns.append(Turn(state, clicks))
            mask, state = _check(card, predictor.predict([turns[-1]]), [(rows, cols)])[0]
            masks.append(mask.copy())
        if not np.array_equal(image, _image(rows, cols, number)):
            raise PredictorError(f"model {card.name} modified the image it was given")
    return turns, masks


def _check(
    card: ModelCard, predictions: Sequence[Prediction], shapes: Sequence[tuple[int, ...]]
) -> Sequence[Prediction]:
    try:
        check_answers(predictions, [("of the trial", shape) for shape in shapes])
    except PredictorError as error:
        raise PredictorError(f"model {card.name}: {error}") from error
    return predictions


def _check_same(card: ModelCard, mask: Mask, wanted: Mask, when: str) -> None:
    differing = int(np.count_nonzero(mask != wanted))
    if differing:
        raise PredictorError(f"model {card.name} changed its mask at {differing} pixels {when}")


def _image(rows: int, cols: int, seed: int) -> Image:
    """Return a noisy image with a brighter disk in the middle, read-only like the engine's."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 90, size=(rows, cols, 3), dtype=np.uint8)
    row, col = np.ogrid[:rows, :cols]
    image[(row - rows / 2) ** 2 + (col - cols / 2) ** 2 < (rows / 4) ** 2] += 120
    image.flags.writeable = False
    return image


def _clicks(rows: int, cols: int) -> tuple[Click, ...]:
    middle = Click(rows // 2, cols // 2, True)
    return (
        middle,
        Click(middle.row, middle.col + 1, True),
        Click(0, 0, False),
        Click(rows - 1, cols - 1, False),
        Click(rows // 2 - rows // 6, cols // 2, True),
    )
