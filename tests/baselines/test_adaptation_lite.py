"""IA+SA on ritm-lite's network: a previous mask, zoom-in and flip around weights that adapt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from isbench.models.predictor import build_predictor
from isbench.models.registry import load_card
from isbench.types import Click, Prediction, Turn
from tests.support.lite import save_ritm_lite
from tests.support.networks import eager, make_object

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGE = make_object((240, 300)).image
CLICKS = (Click(120, 140, True), Click(15, 30, False), Click(60, 220, True))
SMALL = {"overview": 64, "zoom_target": 64}
FAST = {"image_rate": 1e-3, "image_steps": 1, "sequence_rate": 1e-3}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_ritm_lite(tmp_path_factory.mktemp("weights"))


def build(name: str, weights: str, **options: Any) -> Any:
    return build_predictor(eager(name, weights, **{**SMALL, **options}))


def answer(predictor: Any, clicks: Sequence[Click]) -> list[Prediction]:
    """Return the answers to the first click, the first two, and so on."""
    state, answers = predictor.start(predictor.begin(IMAGE), None), []
    for count in range(1, len(clicks) + 1):
        answers += predictor.predict([Turn(state, tuple(clicks[:count]))])
        state = answers[-1].state
    return answers


def probabilities(answers: Sequence[Prediction]) -> list[Tensor]:
    return [one.state.probability for one in answers]


def answer_near_a_small_object(predictor: Any, wrap: str | None) -> Any:
    """Return the state after a click on a small object, which a crop follows."""
    (first,) = answer(predictor, CLICKS[:1])
    small = np.zeros(IMAGE.shape[:2], bool)
    small[100:140, 110:160] = True
    inner = first.state if wrap is None else getattr(first.state, wrap)
    inner = inner._replace(probability=torch.from_numpy(small).float()[None, None], certain=small)
    state = inner if wrap is None else first.state._replace(**{wrap: inner})
    return predictor.predict([Turn(state, CLICKS[:2])])[0].state


def test_frozen_is_ritm_lite(weights: str) -> None:
    ritm, frozen = build("ritm-lite", weights), build("adaptation-lite", weights, mode="frozen")
    answers = [answer(predictor, CLICKS) for predictor in (ritm, frozen)]
    for one, other in zip(*answers, strict=True):
        assert torch.equal(one.state.probability, other.state.probability)
        assert (one.mask == other.mask).all()
    plain = answer_near_a_small_object(ritm, None)
    state = answer_near_a_small_object(frozen, "last")
    assert state.last.box == plain.box
    assert plain.box is not None
    assert plain.box.height < 240
    assert torch.equal(state.probability, plain.probability)


def test_its_weights_are_those_of_ritm_lite() -> None:
    assert load_card("adaptation-lite").bundled == load_card("ritm-lite").bundled


def test_corrections_adapt_and_undo_gives_the_answers_of_before(weights: str) -> None:
    predictor = build("adaptation-lite", weights, mode="IA", **FAST)
    frozen = probabilities(answer(build("ritm-lite", weights), CLICKS))
    first, second, third = answer(predictor, CLICKS)
    adapted = probabilities([first, second, third])
    equal = [torch.equal(one, other) for one, other in zip(frozen, adapted, strict=True)]
    assert equal == [True, False, False]
    for before, count, wanted in ((first, 2, second), (second, 3, third)):
        (again,) = predictor.predict([Turn(before.state, CLICKS[:count])])
        assert torch.equal(again.state.probability, wanted.state.probability)


def test_an_adapted_answer_depends_on_the_masks_before(weights: str) -> None:
    answers = []
    for opposite in (False, True):
        predictor = build("adaptation-lite", weights, mode="IA", zoom="off", **FAST)
        first, second = answer(predictor, CLICKS[:2])
        last = first.state.last
        if opposite:
            last = last._replace(probability=1 - last.probability)
        state = first.state._replace(last=last)
        (found,) = predictor.predict([Turn(state, CLICKS[:2])])
        answers.append(found.state.probability)
        assert torch.equal(found.state.probability, second.state.probability) != opposite
    assert not torch.equal(*answers)


def test_the_sequence_learns_from_the_view_of_the_last_answer(weights: str) -> None:
    predictor = build("adaptation-lite", weights, mode="SA", **FAST)
    before = predictor.facts()
    answer_near_a_small_object(predictor, "last")
    predictor.start(predictor.begin(IMAGE), None)
    after = predictor.facts()
    assert (before["updates"], after["updates"]) == (0, 1)
    assert before["weights"] != after["weights"]
