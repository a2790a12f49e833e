"""Checks of the contracts of models and clickers, for the tests of the packages that add them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from isbench.errors import ClickerError, PredictorError
from isbench.evaluation.clickers.registry import (
    ChosenClicker,
    check_card,
    make_function,
    parse_clicker,
)
from isbench.evaluation.encoding_cache import pack_arrays
from isbench.evaluation.job import name_model_in_errors
from isbench.evaluation.session import ObjectTurn, PredictorSession
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.models.registry import load_card
from isbench.models.weights import RANDOM
from isbench.types import (
    Click,
    Clicker,
    ClickInput,
    Encoded,
    Image,
    LoadedModel,
    Mask,
    ModelCard,
    PackingPredictor,
    Prediction,
    Predictor,
    State,
    Turn,
)

_KEY = "of the trial"  # named in errors
_SIZES = ((48, 64), (33, 47))  # rows and columns of the trial images
_COUNTS = (5, 2)  # clicks on each of them


def check_predictor(model: LoadedModel | ModelCard | str) -> None:
    """Raise PredictorError unless the model keeps the contract of `isbench.Predictor`.

    Plays a few clicks on small images and checks that every turn gets a (H, W) bool mask, that a
    turn gets the same mask when it is repeated or batched with other turns, that images and
    earlier states stay unchanged, and that clicks in corners, adjacent clicks and clicks of one
    sign are accepted. A network without weights is checked with random weights. A model that is
    `adaptive` may change with every object, so its games are instead played twice, each time by a
    new predictor, as are those of a model without a network. A model with `pack` and `unpack` must
    give the same masks with unpacked encodings. Prints one line if the contract holds.
    Raises IsbenchError if a network does not take its own example inputs, and a batch of them, or
    returns anything else than a tuple of tensors.
    """
    if not isinstance(model, LoadedModel):
        card = load_card(model) if isinstance(model, str) else model
        weights = None if card.networks is None else RANDOM
        model = load_model(card, weights=weights, device="cpu", backend="eager")
    if model.card.networks is not None:
        from isbench.nn.runtime.compute import check_networks  # imports torch, which takes a second

        check_networks(partial(model.card.networks, **model.options))
    predictor = build_predictor(model)
    # weights decide a network; without one, building it again shows random numbers in it
    another = build_predictor(model) if model.card.networks is None or model.card.adaptive else None
    with name_model_in_errors(model.name):
        turns, first = _play_trials(PredictorSession(predictor))
        if not model.card.adaptive:
            _check_stateless(PredictorSession(predictor), turns, first)
            _check_packing(predictor, first)
        if another is not None:
            _, second = _play_trials(PredictorSession(another))
            for mask, again in zip(first, second, strict=True):
                _check_same(again, mask, "when a new predictor played the same games")
    print(f"model {model.name} keeps the contract of isbench.Predictor: {len(turns)} turns checked")


def _check_stateless(
    session: PredictorSession, turns: Sequence[ObjectTurn], first: Sequence[Mask]
) -> None:
    """Check a model whose answer depends on nothing but the turn, after it answered these."""
    for turn, mask in zip(turns, first, strict=True):
        (again,) = session.predict([turn])
        _check_same(again.mask, mask, "when an earlier turn was repeated")
    for prediction, mask in zip(session.predict(turns), first, strict=True):
        _check_same(prediction.mask, mask, "when turns were batched in one call")
    again_state: State = session.start(_KEY, _make_image(*_SIZES[0], 0))
    fresh = Turn(again_state, turns[0].turn.clicks)
    (answer,) = session.predict([turns[0]._replace(turn=fresh)])
    _check_same(answer.mask, first[0], "when the object was started again")


@dataclass(frozen=True)
class _Repacked:
    """A predictor whose every encoding is packed and unpacked again."""

    predictor: PackingPredictor

    def begin(self, image: Image) -> Encoded:
        packed = pack_arrays(self.predictor, self.predictor.begin(image))
        return self.predictor.unpack({name: one.copy() for name, one in packed.items()}, image)

    def start(self, encoded: Encoded, initial: Mask | None) -> State:
        return self.predictor.start(encoded, initial)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        return self.predictor.predict(turns)


def _check_packing(predictor: Predictor, first: Sequence[Mask]) -> None:
    """Check that a model that packs its encodings plays the same games after unpacking them."""
    if not isinstance(predictor, PackingPredictor):
        return
    _, repacked = _play_trials(PredictorSession(_Repacked(predictor)))
    for mask, again in zip(first, repacked, strict=True):
        _check_same(again, mask, "when encodings were packed and unpacked")


def _play_trials(session: PredictorSession) -> tuple[list[ObjectTurn], list[Mask]]:
    """Return the turns on the trial images, one after the other, and the mask of each."""
    turns: list[ObjectTurn] = []
    masks: list[Mask] = []
    for number, (rows, cols) in enumerate(_SIZES):
        image = _make_image(rows, cols, number)
        state = session.start(_KEY, image)
        clicks: tuple[Click, ...] = ()
        for click in _make_clicks(rows, cols)[: _COUNTS[number]]:
            clicks = (*clicks, click)
            turns.append(ObjectTurn(_KEY, (rows, cols), Turn(state, clicks)))
            ((mask, state),) = session.predict([turns[-1]])
            masks.append(mask.copy())
        if not np.array_equal(image, _make_image(rows, cols, number)):
            raise PredictorError("the image that it was given was modified")
    return turns, masks


def _check_same(mask: Mask, wanted: Mask, when: str) -> None:
    differing = int(np.count_nonzero(mask != wanted))
    if differing:
        raise PredictorError(f"its mask changed at {differing} pixels {when}")


def _make_image(rows: int, cols: int, seed: int) -> Image:
    """Return a noisy image with a brighter disk in the middle, read-only like the engine's."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 90, size=(rows, cols, 3), dtype=np.uint8)
    row, col = np.ogrid[:rows, :cols]
    image[(row - rows / 2) ** 2 + (col - cols / 2) ** 2 < (rows / 4) ** 2] += 120
    image.flags.writeable = False
    return image


def _make_clicks(rows: int, cols: int) -> tuple[Click, ...]:
    middle = Click(rows // 2, cols // 2, True)
    return (
        middle,
        Click(middle.row, middle.col + 1, True),
        Click(0, 0, False),
        Click(rows - 1, cols - 1, False),
        Click(rows // 2 - rows // 6, cols // 2, True),
    )


def check_clicker(clicker: Clicker | str) -> None:
    """Raise ClickerError unless the clicker keeps the contract, with its default parameters.

    `clicker` is a card, or a text such as "jitter:2" of an installed one. The clicker is asked in
    small situations, from an empty mask to one without errors; it must return a click on the image
    and the same one when it is asked again with an equal generator, and with any generator if its
    card does not say `stochastic`, and it must not modify what it is given. Raises IsbenchError for
    a card that cannot be recorded or a clicker that cannot be made.
    """
    if isinstance(clicker, Clicker):
        check_card(clicker)
        chosen = ChosenClicker(clicker, clicker.parameters)
    else:
        chosen = parse_clicker(clicker)
    function = make_function(chosen)
    for situation in _list_situations():
        first, again = (
            function(replace(situation, rng=np.random.default_rng(0))) for _ in range(2)
        )
        if first != again:
            raise ClickerError(
                f"object {situation.key}: the clicker {chosen.text} clicked {first.clicks} and, "
                f"when it was asked again, {again.clicks}; wanted the same click: draw from "
                "`given.rng` only"
            )
        other = function(replace(situation, rng=np.random.default_rng(1), seed=1))
        if other != first and not chosen.card.stochastic:
            raise ClickerError(
                f"object {situation.key}: the clicker {chosen.text} clicked {first.clicks} and, "
                f"with another seed, {other.clicks}; wanted stochastic=True on its card"
            )


def _list_situations() -> Iterator[ClickInput]:
    """Yield inputs of clickers: nothing found yet, a shifted mask, everything, and no error."""
    for number, (rows, cols) in enumerate(_SIZES):
        image = _make_image(rows, cols, number)
        disk = image.mean(axis=2) > 100
        nothing = np.zeros_like(disk)
        ignore = nothing.copy()
        ignore[:, :3] = True
        truth = disk & ~ignore
        middle = Click(rows // 2, cols // 2, True)
        for mask, clicks in (
            (nothing, ()),
            (np.roll(disk, 5, axis=1), (middle,)),
            (~nothing, (middle,)),
            (truth, (middle, Click(0, 0, False))),
        ):
            rng = np.random.default_rng(0)
            yield ClickInput(_KEY, image, mask, truth, ignore, clicks, rng)
        yield ClickInput(_KEY, image, nothing, nothing, ~nothing, (), np.random.default_rng(0))
