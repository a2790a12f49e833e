"""f-BRS on ritm-lite's network: the same network, cut in two, that sees its previous mask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from baselines.fbrs.cards import lite
from isbench.models.predictor import build_predictor
from isbench.models.registry import load_card
from isbench.nn.network import make_examples
from isbench.nn.runtime.checkpoint import load_checkpoint
from isbench.nn.stem import resize_bilinear
from isbench.types import Click, Turn
from tests.support.fbrs import Answer, play
from tests.support.lite import make_ritm_lite, save_ritm_lite
from tests.support.networks import eager, make_object

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGE = make_object((60, 80)).image
CLICKS = (Click(30, 40, True), Click(5, 10, False), Click(20, 60, True), Click(50, 20, False))
SMALL = {"overview": 64, "zoom_target": 64}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_ritm_lite(tmp_path_factory.mktemp("weights"))


def build(name: str, weights: str, **options: Any) -> Any:
    return build_predictor(eager(name, weights, **{**SMALL, **options}))


@pytest.mark.parametrize("size", [(64, 96), (53, 71)])
def test_both_parts_compute_what_ritm_lite_does(size: tuple[int, int], weights: str) -> None:
    assert lite.networks is not None
    parts = lite.networks(**lite.options)
    load_checkpoint(list(parts.values()), Path(weights))
    whole = make_ritm_lite()
    inputs = make_examples(whole, size, 6)
    with torch.inference_mode():
        (features,) = parts["features"].eval()(*inputs)
        (logits,) = parts["head"].eval()(features)
        (wanted,) = whole(*inputs)
    assert torch.allclose(resize_bilinear(logits, size), wanted, rtol=0, atol=1e-5)


def test_its_weights_are_those_of_ritm_lite(weights: str) -> None:
    assert lite.networks is not None
    parts = lite.networks(**lite.options).values()
    assert {key for one in parts for key in one.state_dict()} == load_file(weights).keys()
    assert lite.bundled == load_card("ritm-lite").bundled


def test_the_first_click_is_answered_as_ritm_lite_does(weights: str) -> None:
    answers = []
    for name in ("ritm-lite", "fbrs-lite"):
        predictor = build(name, weights)
        state = predictor.start(predictor.begin(IMAGE), None)
        answers.append(predictor.predict([Turn(state, CLICKS[:1])])[0].state.probability)
    assert torch.allclose(*answers, rtol=0, atol=1e-5)


def test_later_clicks_lower_the_loss(weights: str) -> None:
    answers = list(play(build("fbrs-lite", weights), IMAGE, CLICKS))
    searches = [answer.state.losses for answer in answers]
    assert searches[0] == ()
    assert all(min(losses) < losses[0] for losses in searches[1:])


def replay_with(predictor: Any, last: Answer, probability: torch.Tensor, count: int) -> Answer:
    """Answer the next click as if the last answer had had these probabilities."""
    state = last.state._replace(seen=last.state.seen._replace(probability=probability))
    return Answer(*predictor.predict([Turn(state, CLICKS[:count])])[0])


def answers_with_two_masks(weights: str, **options: Any) -> Iterator[tuple[Answer, Answer]]:
    """Yield the answers to clicks 2, 3 and 4 after the last answer and after its opposite."""
    predictor = build("fbrs-lite", weights, zoom="off", **options)
    answers = list(play(predictor, IMAGE, CLICKS))
    for count in (2, 3, 4):
        last = answers[count - 2]
        opposite = replay_with(predictor, last, 1 - last.state.probability, count)
        yield answers[count - 1], opposite


def test_features_see_the_last_answer_as_long_as_they_see_clicks(weights: str) -> None:
    for one, other in answers_with_two_masks(weights, maxfun=1):
        assert one.state.losses != other.state.losses


def test_kept_features_keep_the_previous_mask_that_they_saw(weights: str) -> None:
    second, *later = answers_with_two_masks(weights, net_clicks=2, maxfun=3)
    assert second[0].state.losses != second[1].state.losses
    for one, other in later:
        assert one.state.losses == other.state.losses
        assert torch.equal(one.state.probability, other.state.probability)
