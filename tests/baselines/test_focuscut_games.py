"""FocusCut's games equal to the official ones; laws of its predictor around a stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tracemalloc import get_traced_memory, start, stop
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from baselines.focuscut.focus import FocusPoint
from baselines.focuscut.network import FocusCutNetwork
from baselines.focuscut.predictor import FocusCut, State
from isbench.errors import IsbenchError
from isbench.nn.inference.passes import compute_answers
from isbench.nn.stem import normalize
from isbench.testing import check_predictor
from isbench.types import Click, Mask, ModelCard, Runtime, Turn
from tests.support.official_games import (
    GRADIENT,
    build_synthetic,
    check_probabilities,
    find_game,
    list_turns,
    load_image,
    read_golden,
)
from tests.support.synthetic import draw_picture


def probe(image: Tensor, positive: Tensor, negative: Tensor, previous: Tensor) -> tuple[Tensor]:
    """Answer without weights, as in the official games."""
    near = 6 * torch.exp(-(positive**2) / (2 * 60**2))
    far = 6 * torch.exp(-(negative**2) / (2 * 25**2))
    colours = normalize(image).mean(dim=1, keepdim=True)
    return (near - far - 2 + 2 * (previous - 0.5) + colours,)


def make_predictor(size: int = 384, rounds: int = 3, network: Any = probe) -> FocusCut:
    return FocusCut(network, Runtime(), size, rounds, 0.5)


def split(views: int) -> Iterator[int]:
    """Yield the views of each pass of a round."""
    yield from (8 for _ in range(views // 8))
    yield from [views % 8] if views % 8 else []


def play_official_game(
    network: Callable[..., tuple[Tensor, ...]],
    game: dict[str, Any],
    tolerances: tuple[float, float],
    data: Path | None = None,
    clicks_to_play: int = 12,
) -> None:
    """Play a game; the tolerances are of probabilities and of masks, as a share of the image."""
    batches: list[int] = []

    def count(*inputs: Tensor) -> tuple[Tensor, ...]:
        batches.append(len(inputs[0]))
        return network(*inputs)

    predictor = make_predictor(game["size"], network=count)
    image = load_image(game, data)
    state: State = predictor.start(predictor.begin(image), None)
    for clicks, wanted in [*list_turns(game)][:clicks_to_play]:
        batches.clear()
        ((mask, state),) = predictor.predict([Turn(state, clicks)])
        assert state.probability is not None
        assert state.crop is not None
        check_probabilities(state.probability, wanted, tolerances[0])
        differing = abs(int(np.count_nonzero(mask)) - wanted["mask_pixels"])
        assert differing <= tolerances[1] * mask.size
        crop = state.crop
        assert [crop.left, crop.top, crop.width, crop.height] == wanted["crop_xywh"]
        uncounted = 1 if len(clicks) == 1 else 0
        views = [count for views in wanted["focus_views_per_round"] for count in split(views)]
        assert batches == [1] * (1 + uncounted) + views
        if len(clicks) > 1:
            last = state.focus[-1][:2] == clicks[-1][:2]
            assert last == wanted["focus_used"]
            assert not last or state.focus[-1].radius == wanted["expand_radius"]


def test_a_game_is_the_official_one() -> None:
    game = find_game("focuscut_probe", GRADIENT)
    play_official_game(probe, game, (1e-4, 3 / (180 * 240)), clicks_to_play=6)


@pytest.mark.slow
@pytest.mark.parametrize("name", [GRADIENT, "GrabCut/106024", "DAVIS/000"])
def test_whole_games_are_the_official_ones(name: str, real_data: Path) -> None:
    game = find_game("focuscut_probe", name)
    rows, cols = game["hw"]
    play_official_game(probe, game, (1e-4, 3 / (rows * cols)), real_data)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
def test_games_with_the_network_are_the_official_ones(number: int, real_data: Path) -> None:
    golden = read_golden("games/focuscut_resnet50")
    network = build_synthetic(lambda: FocusCutNetwork(50))
    state = network.state_dict()
    for key, (operation, value) in golden["tweak"].items():
        factor = state[key] if operation == "mul" else torch.ones_like(state[key])
        state[key] = factor * value
    network.load_state_dict(state)
    play_official_game(network, golden["games"][number], (1e-3, 1e-3), real_data)


SHAPE = (40, 56)
IMAGE = draw_picture(3, *SHAPE)[0].permute(1, 2, 0).mul(255).byte().numpy()
CLICK = st.builds(Click, st.integers(0, 39), st.integers(0, 55), st.booleans())
CLICKS = st.lists(CLICK, min_size=2, max_size=6)


def play(predictor: FocusCut, clicks: list[Click], initial: Mask | None = None) -> list[State]:
    """Return the state before the first click and after each one."""
    states: list[State] = [predictor.start(predictor.begin(IMAGE), initial)]
    for count in range(1, len(clicks) + 1):
        turn = Turn(states[-1], tuple(clicks[:count]))
        states.append(predictor.predict([turn])[0].state)
    return states


@settings(max_examples=15)
@given(CLICKS)
def test_a_click_that_is_undone_leaves_nothing_behind(clicks: list[Click]) -> None:
    predictor = make_predictor(48)
    first, again = play(predictor, clicks), play(predictor, clicks)
    for state, same in zip(first[1:], again[1:], strict=True):
        assert np.array_equal(state.probability, same.probability)
        assert (state.crop, state.focus) == (same.crop, same.focus)
    turn = Turn(first[1], tuple(clicks[:2]))
    assert np.array_equal(predictor.predict([turn])[0].mask, first[2].mask)


@settings(max_examples=15)
@given(CLICKS)
def test_games_together_are_the_games_alone(clicks: list[Click]) -> None:
    predictor = make_predictor(48)
    states = play(predictor, clicks)
    turns = [Turn(state, tuple(clicks[: k + 1])) for k, state in enumerate(states[:-1])]
    for stack in (False, True):
        found = compute_answers([predictor.answer(*turn) for turn in turns], stack)
        for answer, state in zip(found, states[1:], strict=True):
            assert np.allclose(answer.state.probability, state.probability, atol=1e-6)


@settings(max_examples=15)
@given(CLICKS)
def test_without_rounds_an_answer_is_that_of_the_whole_object(clicks: list[Click]) -> None:
    predictor = make_predictor(48, rounds=0)
    states = play(predictor, clicks)
    assert states[-1].focus == ()
    seen = compute_answers([predictor.answer(states[-2], tuple(clicks))], stack=False)
    assert np.array_equal(seen[0].mask, states[-1].mask)


def test_a_focus_point_stays_for_the_whole_game() -> None:
    clicks = [Click(20, 28, True), Click(3, 4, False), Click(30, 40, True), Click(36, 50, False)]
    states = play(make_predictor(48), clicks)
    for before, after in pairwise(states):
        assert after.focus[: len(before.focus)] == before.focus
    assert len(states[-1].focus) > 1


def test_an_initial_mask_is_the_answer_before_the_first_click() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[10:30, 15:40] = True
    batches: list[Tensor] = []

    def record(*inputs: Tensor) -> tuple[Tensor]:
        batches.append(inputs[3])
        return probe(*inputs)

    clicks = [Click(5, 20, False)]
    states = play(make_predictor(48, network=record), clicks, mask)
    assert (batches[0] > 0).any()  # no pass without a mask comes first
    assert states[1].focus == ((5, 20, 5),)  # five pixels above the mask
    empty = play(make_predictor(48), clicks, np.zeros(SHAPE, bool))
    assert np.array_equal(empty[1].mask, play(make_predictor(48), clicks)[1].mask)


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1), (3, 5), (2, 900)])
def test_small_and_narrow_images_are_answered(shape: tuple[int, int]) -> None:
    predictor, image = make_predictor(48), np.full((*shape, 3), 200, np.uint8)
    clicks = (Click(0, 0, True), Click(shape[0] - 1, shape[1] - 1, False), Click(0, 0, True))
    state = predictor.start(predictor.begin(image), None)
    for count in (1, 2, 3):
        ((mask, state),) = predictor.predict([Turn(state, clicks[:count])])
        assert mask.shape == shape


def test_a_long_game_is_played() -> None:
    clicks = [Click(7 * k % 40, 11 * k % 56, k % 2 == 0) for k in range(40)]
    assert len(play(make_predictor(32), clicks)[-1].focus) > 16


def test_memory_does_not_grow_with_patches_larger_than_the_image() -> None:
    side, points = 300, 12
    image, blank = np.zeros((side, side, 3), np.uint8), np.zeros((side, side), bool)
    focus = tuple(FocusPoint(k, k, side) for k in range(points))
    state = State(image, blank, answered=True, focus=focus)
    turn = Turn(state, (Click(0, 0, True),))
    start()
    try:
        make_predictor(16, rounds=1).predict([turn])
        _, most = get_traced_memory()
    finally:
        stop()
    whole = (2 * int(1.75 * side) + 1) ** 2 * np.dtype(np.float32).itemsize
    assert most < points * whole / 2


def test_a_network_that_answers_with_no_number_is_named() -> None:
    predictor = make_predictor(48, network=lambda *inputs: (inputs[1] * torch.nan,))
    with pytest.raises(IsbenchError, match="not a number"):
        play(predictor, [Click(1, 2, True)])


def test_the_predictor_keeps_the_contract() -> None:
    check_predictor(ModelCard("focus-probe", lambda: make_predictor(48)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"view_size": 8}, "option view_size is 8; wanted from 16 to 4096 pixels"),
        ({"rounds": -1}, "option rounds is -1; wanted from 0 to 10"),
        ({"rounds": 11}, "option rounds is 11; wanted from 0 to 10"),
        ({"threshold": 0.0}, "option threshold is 0.0; wanted above 0 and below 1"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(IsbenchError, match=said):
        replace(make_predictor(), **options)
