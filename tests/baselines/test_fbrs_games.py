"""f-BRS plays as the original predictor, and keeps the laws that the games do not show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines.fbrs import cards
from baselines.fbrs.predictor import ZOOM, FbrsPredictor, list_places
from isbench.nn.inference.predictor import InferenceConfig
from isbench.nn.inference.zoom_in import Box, View, Zoom
from isbench.nn.network import Computed
from isbench.types import Click, Turn
from tests.support.fbrs import (
    GRADIENTS,
    STAND_INS,
    build_stand_in,
    compute_features,
    list_clicks,
    play,
    read_golden,
    sample_grid,
)
from tests.support.official_games import draw_gradient, load_image
from tests.support.synthetic import fill_state

pytestmark = pytest.mark.usefixtures("one_thread")

PROBE = {game["image"]: game for game in read_golden("fbrs_probe")["games"]}
CLICKS = list_clicks(PROBE["gradient"])
IMAGE = np.ascontiguousarray(draw_gradient()[::2, ::2])  # (90, 120, 3), for laws of whole games
HALVED = tuple(Click(click.row // 2, click.col // 2, click.positive) for click in CLICKS)


def check_state(state: Any, step: Mapping[str, Any], tolerance: float, pixels: float) -> None:
    """Compare what is recorded after a click."""
    box = state.seen.box
    assert (None if box is None else list(box)) == step["roi"]
    assert sample_grid(state.probability) == pytest.approx(step["prob_grid"], rel=0, abs=tolerance)
    mean = float(state.probability.double().mean())
    assert mean == pytest.approx(step["prob_mean"], rel=0, abs=tolerance)
    count = int((state.probability > 0.49).sum())
    assert abs(count - step["mask_pixels"]) <= pixels
    assert len(state.losses) == step["evaluations"]
    scale, bias = np.split(state.variables, 2)
    # where a loss is flat, the variables are less certain than what they give
    assert np.linalg.norm(scale) == pytest.approx(step["scale_norm"], rel=0, abs=5 * tolerance)
    assert np.linalg.norm(bias) == pytest.approx(step["bias_norm"], rel=0, abs=5 * tolerance)


@pytest.mark.parametrize(
    "name", [n if n == "gradient" else pytest.param(n, marks=pytest.mark.slow) for n in PROBE]
)
def test_the_predictor_plays_as_the_original_one(name: str, request: pytest.FixtureRequest) -> None:
    game = PROBE[name]
    data = None if name == "gradient" else request.getfixturevalue("real_data")
    image = load_image(game, data)
    predictor = build_stand_in(replace(ZOOM, target=game["zoom_target"]))
    stable = game["stable_clicks"]  # later clicks blow rounding up
    answers = play(predictor, image, list_clicks(game)[:stable])
    for (mask, state), step in zip(answers, game["steps"][:stable], strict=True):
        check_state(state, step, 1e-3, 0.001 * mask.size)
        assert state.losses == pytest.approx(step["losses"], rel=5e-3)
        assert (mask == (state.probability[0, 0] > 0.49).numpy()).all()


def build_r34() -> Mapping[str, Any]:
    """Return the networks of fbrs-r34 under the synthetic weights of the golden games."""
    networks = cards.r34.networks(**cards.r34.options)  # type: ignore[misc]
    state = {key: value for one in networks.values() for key, value in one.state_dict().items()}
    filled = fill_state(state)
    filled["head.layers.2.weight"] *= 30
    filled["head.layers.2.bias"].fill_(6)
    for network in networks.values():
        network.load_state_dict({key: filled[key] for key in network.state_dict()})
        network.eval().requires_grad_(False)
    return networks


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fbrs_r34_dh128_maxfun4", "fbrs_r34_dh128"])
def test_the_predictor_with_a_network_plays_as_the_original_one(name: str, real_data: Path) -> None:
    # with 320 variables the search is chaotic: after some evaluations rounding decides where it is
    golden, networks = read_golden(name), build_r34()
    few = "lbfgs" in golden
    maxfun, certain = (4, 99) if few else (20, 6)
    config = InferenceConfig(Zoom(160, after=0, least=80), runtime=GRADIENTS, previous_mask=False)
    for game in golden["games"]:
        predictor = FbrsPredictor(config, networks, maxfun=maxfun)
        answers = play(predictor, load_image(game, real_data), list_clicks(game))
        for (mask, state), step in zip(answers, game["steps"], strict=True):
            if few or not step["losses"]:
                check_state(state, step, 1e-2 if few else 1e-4, 0.001 * mask.size)
            losses = step["losses"][:certain]
            assert list(state.losses[:certain]) == pytest.approx(losses, rel=5e-3)


class Counting:
    """The first stand-in network, which notes what it is asked."""

    def __init__(self) -> None:
        self.clicks: list[int] = []  # places in use, in each pass

    def __call__(self, image: Tensor, clicks: Tensor) -> tuple[Tensor]:
        self.clicks.append(int((clicks[0, :, 2] >= 0).sum()))
        return compute_features(image, clicks)


def build_counting(**settings: Any) -> tuple[FbrsPredictor, Counting]:
    features = Counting()
    networks: dict[str, Computed] = {**STAND_INS, "features": features}
    config = InferenceConfig(Zoom(120, after=0, least=50), runtime=GRADIENTS, previous_mask=False)
    return FbrsPredictor(config, networks, **settings), features


def test_the_network_sees_the_first_clicks_only_and_features_are_kept_after_them() -> None:
    predictor, features = build_counting(net_clicks=4, maxfun=3)
    boxes = [answer.state.seen.box for answer in play(predictor, IMAGE, HALVED)]
    moved = sum(one != other for one, other in pairwise(boxes[3:]))
    assert 0 < moved < len(HALVED) - 4  # some of the clicks change the crop
    assert features.clicks == [1, 2, 3, 4] + [4] * moved


def test_another_click_among_the_first_is_seen_too() -> None:
    predictor, features = build_counting(net_clicks=2, maxfun=3)
    *_, (_, state) = play(predictor, IMAGE, HALVED[:2])
    assert state.features is not None
    another = HALVED[0], HALVED[1]._replace(row=HALVED[1].row - 3)
    ((_, after),) = predictor.predict([Turn(state, another)])
    assert after.seen.box == state.seen.box  # which alone would need no new features
    assert features.clicks == [1, 2, 2]


def test_features_that_are_computed_again_at_every_click_give_the_same_answers() -> None:
    predictor, _ = build_counting(net_clicks=4, maxfun=5)
    state = predictor.start(predictor.begin(IMAGE), None)
    for count, (mask, kept) in enumerate(play(predictor, IMAGE, HALVED), 1):
        assert mask.any()  # else the original uses features of another crop, and so does this
        ((again, state),) = predictor.predict([Turn(state, HALVED[:count])])
        assert (again == mask).all()
        assert state.losses == kept.losses
        assert (state.features is None) == (count < 4)
        state = state._replace(features=None)


def test_features_of_the_last_crop_are_used_where_the_last_answer_was_empty() -> None:
    predictor, features = build_counting(net_clicks=2, maxfun=3)
    *_, (_, state) = play(predictor, IMAGE, HALVED[:3])
    seen = state.seen
    empty = state._replace(seen=seen._replace(certain=np.zeros_like(seen.certain)))
    asked = len(features.clicks)
    ((_, after),) = predictor.predict([Turn(empty, HALVED[:4])])
    assert after.seen.box == seen.box  # pasted into the last crop
    assert after.features is state.features
    assert len(features.clicks) == asked


def test_a_click_starts_from_where_the_last_one_ended() -> None:
    predictor = build_stand_in(Zoom(120, after=0, least=50), maxfun=5)
    answers = list(play(predictor, IMAGE, HALVED[:9]))
    moved = [np.abs(answer.state.variables).max() > 0 for answer in answers]
    assert moved[-1]
    last = answers[-1].state
    ((_, warm),) = predictor.predict([Turn(last, HALVED[:10])])
    ((_, cold),) = predictor.predict([Turn(last._replace(variables=None), HALVED[:10])])
    assert warm.losses[0] != cold.losses[0]


def test_an_earlier_state_answers_as_before() -> None:
    predictor = build_stand_in(Zoom(120, after=0, least=50), maxfun=3)
    answers = list(play(predictor, IMAGE, HALVED))
    for count in (3, 8, 9, 11):
        before = answers[count - 2].state
        ((mask, state),) = predictor.predict([Turn(before, HALVED[:count])])
        assert (mask == answers[count - 1].mask).all()
        assert state.losses == answers[count - 1].state.losses


def test_the_first_click_is_answered_without_a_search() -> None:
    (answer,) = play(build_stand_in(), IMAGE, HALVED[:1])
    assert answer.state.losses == ()
    assert not answer.state.variables.any()


def test_the_answer_to_the_mirrored_game_is_the_mirror_of_the_answer() -> None:
    predictor = build_stand_in(None)
    mirrored = tuple(click._replace(col=119 - click.col) for click in HALVED)
    stable = 4  # at later clicks the optimisation blows rounding up, as in the golden games
    games = (
        list(play(predictor, IMAGE, HALVED[:stable])),
        list(play(predictor, np.ascontiguousarray(IMAGE[:, ::-1]), mirrored[:stable])),
    )
    for (_, plain), (_, mirror) in zip(*games, strict=True):
        assert torch.allclose(plain.probability, mirror.probability.flip(3), rtol=0, atol=1e-5)
    assert all(len(plain.losses) > 5 for _, plain in games[0][1:])  # it did optimise


def test_an_initial_mask_says_where_the_first_click_zooms_in() -> None:
    predictor = build_stand_in(Zoom(120, after=0, least=10))
    initial = np.zeros(IMAGE.shape[:2], bool)
    initial[30:60, 40:90] = True
    state = predictor.start(predictor.begin(IMAGE), initial)
    assert (state.probability[0, 0].numpy() == initial).all()
    ((_, after),) = predictor.predict([Turn(state, (Click(45, 60, True),))])
    assert after.seen.box == Zoom(least=10).expand(Box(30, 59, 40, 89), initial.shape)
    ((_, without),) = predictor.predict(
        [Turn(predictor.start(predictor.begin(IMAGE), None), (Click(45, 60, True),))]
    )
    assert without.seen.box is None


def test_a_place_in_a_crop_is_multiplied_before_it_is_divided() -> None:
    view = View(Box(0, 13, 10, 23), (29, 29))  # 14 rows and columns, seen as 29
    # 7 * (29 / 14) is a little more, and would be rounded to 15
    items = list_places([Click(7, 17, True)], view, flip=True)
    assert items == (((14.5, 14.5, True),), ((14.5, 13.5, True),))
