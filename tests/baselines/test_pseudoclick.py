"""PseudoClick: clicks on predicted errors by the robot's rule, and games with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from baselines.pseudoclick.predictor import (
    PseudoClickConfig,
    PseudoClickPredictor,
    PseudoClickState,
)
from baselines.pseudoclick.rule import choose_pseudo_click
from isbench.errors import IsbenchError
from isbench.evaluation.clickers.centre import centre
from isbench.evaluation.engine import play
from isbench.models.predictor import build_predictor
from isbench.nn.clickmaps import draw_disks
from isbench.nn.inference.predictor import InferenceConfig
from isbench.nn.inference.zoom_in import Zoom
from isbench.types import Click, ClickInput, Rules, Sample, Turn
from tests.support.click_inputs import click_inputs, find_false, find_missing, make_input
from tests.support.networks import load_small

ROWS, COLS = 48, 64

# The rule


@settings(max_examples=150)
@given(click_inputs())
def test_a_pseudo_click_is_the_robots_click_on_the_predicted_errors(given: ClickInput) -> None:
    false, missing = find_false(given), find_missing(given)
    click = choose_pseudo_click(false, missing, given.clicks)
    robot = centre(given)
    free = np.ones_like(false)
    for row, col, _ in given.clicks:
        free[row, col] = False
    if ((false | missing) & free).any():
        assert click == robot
    else:
        assert click is None


def test_a_tie_is_negative_and_the_first_pixel_in_rows_wins() -> None:
    missing, false = np.zeros((9, 20), bool), np.zeros((9, 20), bool)
    missing[2:7, 1:6] = false[2:7, 10:16] = True  # both 3 deep
    assert choose_pseudo_click(false, missing, ()) == Click(4, 12, False)
    assert choose_pseudo_click(false, missing, [Click(4, 12, False)]) == Click(4, 13, False)
    missing[1:8, 0:7] = True
    assert choose_pseudo_click(false, missing, ()) == Click(4, 3, True)


@pytest.mark.parametrize(("radius", "clicked"), [(0.0, True), (2.9, True), (3.0, False)])
def test_errors_that_are_nowhere_deeper_than_the_least_radius_get_none(
    radius: float, clicked: bool
) -> None:
    missing = np.zeros((20, 20), bool)
    missing[5:10, 5:10] = True
    click = choose_pseudo_click(np.zeros_like(missing), missing, (), radius)
    assert (click is not None) == clicked


# The game: a network that sees the object in the image and knows all of its errors


class Omniscient(nn.Module):
    """Its mask grows by clicks; the red channel is the object, from which it knows its errors."""

    def __init__(self) -> None:
        super().__init__()
        self.passes: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, inputs: Tensor, clicks: Tensor, pseudo: Tensor) -> tuple[Tensor]:
        self.passes.append((inputs, clicks, pseudo))
        size = inputs.shape[-2], inputs.shape[-1]
        disks = torch.maximum(draw_disks(clicks, size, 5.0), draw_disks(pseudo, size, 5.0)) > 0
        mask = ((inputs[:, 3:] > 0.5) | disks[:, :1]) & ~disks[:, 1:]
        truth = inputs[:, :1] > 0.5
        errors = torch.cat([mask & ~truth, ~mask & truth], dim=1).float()
        return (torch.cat([16.0 * mask - 8, 16 * errors - 8], dim=1),)


def sample() -> Sample:
    truth = np.zeros((ROWS, COLS), bool)
    truth[8:40, 8:50] = True
    image = np.repeat(255 * truth[..., None].astype(np.uint8), 3, axis=2)
    return Sample("box#1", image, truth, np.zeros_like(truth))


WHOLE = InferenceConfig(flip=False)


def make(
    network: nn.Module | None = None, config: InferenceConfig = WHOLE, **rule: Any
) -> PseudoClickPredictor:
    return PseudoClickPredictor(network or Omniscient(), config, PseudoClickConfig(**rule))


def ask(predictor: PseudoClickPredictor, *clicks: Click) -> list[Any]:
    """Return the answers to the first click, to the first two, and so on."""
    state, answers = predictor.start(predictor.begin(sample().image), None), []
    for k in range(1, len(clicks) + 1):
        answers.append(predictor.predict([Turn(state, clicks[:k])])[0])
        state = answers[-1].state
    return answers


FIRST, SECOND = Click(20, 20, True), Click(30, 40, True)


def test_the_network_clicks_where_the_robot_would_click_and_keeps_what_it_clicked() -> None:
    plain, network = make(number=0), Omniscient()
    first, second = ask(make(network), FIRST, SECOND)
    truth, free = sample().truth, sample().ignore
    after_one = ask(plain, FIRST)[0].mask
    robot = centre(make_input(after_one, truth, free))
    assert first.state.clicks == (robot,)
    assert first.mask[robot.row, robot.col]
    # the user's second click, then a pass, then the second pseudo click, with the first still there
    assert len(network.passes) == 4
    assert second.state.clicks[:1] == (robot,)
    assert len(second.state.clicks) == 2
    counts = [
        (int((p[1][..., 2] >= 0).sum()), int((p[2][..., 2] >= 0).sum())) for p in network.passes
    ]
    assert counts == [(1, 0), (1, 1), (2, 1), (2, 2)]


def test_the_second_pass_gets_the_first_ones_answer_as_its_previous_mask() -> None:
    network = Omniscient()
    ask(make(network), FIRST)
    first, second = network.passes
    assert not first[0][:, 3].any()
    assert torch.equal(second[0][:, 3] > 0.5, draw_disks(first[1], (ROWS, COLS), 5.0)[:, 0] > 0)


def test_without_a_predicted_error_there_is_no_click_and_the_first_answer_stands() -> None:
    class Blind(Omniscient):
        def forward(self, inputs: Tensor, clicks: Tensor, pseudo: Tensor) -> tuple[Tensor]:
            (maps,) = super().forward(inputs, clicks, pseudo)
            return (torch.cat([maps[:, :1], torch.full_like(maps[:, 1:], -0.1)], dim=1),)

    network = Blind()
    (blind,) = ask(make(network, number=3), FIRST)
    assert len(network.passes) == 1
    assert blind.state.clicks == ()
    assert (blind.mask == ask(make(number=0), FIRST)[0].mask).all()


def test_predicted_errors_that_contradict_the_mask_are_dropped() -> None:
    class Confused(Omniscient):
        def forward(self, inputs: Tensor, clicks: Tensor, pseudo: Tensor) -> tuple[Tensor]:
            (maps,) = super().forward(inputs, clicks, pseudo)
            mask = maps[:, :1]
            return (torch.cat([mask, -mask, mask], dim=1),)  # false positives outside, and so on

    network = Confused()
    assert ask(make(network, number=3), FIRST)[0].state.clicks == ()
    assert len(network.passes) == 1


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_each_click_of_the_user_is_followed_by_as_many_as_asked_for(number: int) -> None:
    network = Omniscient()
    first, second = ask(make(network, number=number), FIRST, SECOND)
    assert (len(first.state.clicks), len(second.state.clicks)) == (number, 2 * number)
    assert len(network.passes) == 2 * (number + 1)


def test_clicks_that_are_forgotten_serve_one_click_of_the_user() -> None:
    network = Omniscient()
    first, second = ask(make(network, forget=True), FIRST, SECOND)
    assert len(first.state.clicks) == len(second.state.clicks) == 1
    assert [int((p[2][..., 2] >= 0).sum()) for p in network.passes] == [0, 1, 0, 1]


def test_undo_and_the_same_turn_again_give_the_same_answer() -> None:
    predictor = make(number=2)
    state = predictor.start(predictor.begin(sample().image), None)
    turn = Turn(state, (FIRST,))
    once = predictor.predict([turn])[0]
    predictor.predict([Turn(once.state, (FIRST, SECOND))])
    again = predictor.predict([turn])[0]
    assert state == PseudoClickState(state.last)
    assert (again.mask == once.mask).all()
    assert again.state.clicks == once.state.clicks


def test_the_users_clicks_alone_are_counted() -> None:
    rules = Rules(max_clicks=4, stop_iou=1.01)
    (plain,) = play(make(number=0), [sample()], rules)
    (helped,) = play(make(number=3), [sample()], rules)
    assert len(helped.trajectory.clicks) == len(plain.trajectory.clicks) == 4
    areas = [[inside for inside, _ in game.trajectory.overlap] for game in (plain, helped)]
    assert all(more > less for less, more in zip(*areas, strict=True))


def test_pseudo_clicks_take_part_in_the_crop_which_moves_with_every_pass() -> None:
    network = Omniscient()
    zooming = replace(WHOLE, zoom=Zoom(target=64, least=10))
    first, second = ask(make(network, zooming), FIRST, SECOND)
    assert first.state.last.box is not None  # the second pass of the first click
    sizes = [tuple(inputs.shape[-2:]) for inputs, *_ in network.passes]
    assert sizes[0] == (ROWS, COLS)
    assert all(size != (ROWS, COLS) and max(size) == 64 for size in sizes[1:])
    assert len(set(sizes)) > 2
    for answer in (first, second):
        box, (row, col, _) = answer.state.last.box, answer.state.clicks[-1]
        assert box.top <= row <= box.bottom
        assert box.left <= col <= box.right


def test_no_error_is_predicted_outside_the_crop() -> None:
    class Gloomy(Omniscient):
        def forward(self, inputs: Tensor, clicks: Tensor, pseudo: Tensor) -> tuple[Tensor]:
            (maps,) = super().forward(inputs, clicks, pseudo)
            return (torch.cat([maps[:, :1], torch.full_like(maps[:, 1:], 8.0)], dim=1),)

    zooming = replace(WHOLE, zoom=Zoom(after=0, target=64, least=10))
    predictor = make(Gloomy(), zooming)
    initial = np.zeros((ROWS, COLS), bool)
    initial[20:24, 20:24] = True
    state = predictor.start(predictor.begin(sample().image), initial)
    after = predictor.predict([Turn(state, (Click(21, 21, True),))])[0].state
    box, (click,) = after.last.box, after.clicks
    # everything outside of the mask is a predicted miss, the farthest of it outside of the crop
    assert (box.height, box.width) < (ROWS, COLS)
    assert box.top <= click.row <= box.bottom
    assert box.left <= click.col <= box.right


def test_error_maps_take_part_in_the_average_with_the_mirror_image() -> None:
    class Lopsided(Omniscient):
        def forward(self, inputs: Tensor, clicks: Tensor, pseudo: Tensor) -> tuple[Tensor]:
            (maps,) = super().forward(inputs, clicks, pseudo)
            errors = torch.full_like(maps[:, 1:], -5.0)
            errors[..., : COLS // 2] = 3.0
            return (torch.cat([maps[:, :1], errors], dim=1),)

    assert len(ask(make(Lopsided()), FIRST)[0].state.clicks) == 1
    assert ask(make(Lopsided(), replace(WHOLE, flip=True)), FIRST)[0].state.clicks == ()


def test_pseudo_clicks_are_in_the_image_as_the_network_sees_it() -> None:
    smaller = replace(WHOLE, longest_side=COLS // 2)
    (answer,) = ask(make(None, smaller, number=3), FIRST)
    assert answer.mask.shape == (ROWS, COLS)
    assert all(row < ROWS // 2 and col < COLS // 2 for row, col, _ in answer.state.clicks)


# Options


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("pseudo_clicks", 4, "0 to 3"),
        ("pseudo_clicks", -1, "0 to 3"),
        ("min_radius", -0.5, "0 or more pixels"),
        ("pseudo_radius", 0.0, "more than 0 pixels"),
    ],
)
def test_options_out_of_range_are_refused(name: str, value: float, wanted: str) -> None:
    with pytest.raises(IsbenchError, match=rf"option {name} is {value}; wanted {wanted}"):
        build_predictor(load_small("pseudoclick-mini", **{name: value}))
