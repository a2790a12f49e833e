"""PseudoClick: clicks on predicted errors by the robot's rule, and the head that predicts them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from baselines.pseudoclick.network import PseudoClick, find_errors
from baselines.pseudoclick.predictor import (
    PseudoClickConfig,
    PseudoClickPredictor,
    PseudoClickState,
)
from baselines.pseudoclick.rule import choose_pseudo_click
from baselines.ritm import Ritm
from isbench.datasets import load_dataset
from isbench.errors import IsbenchError
from isbench.evaluation.clickers.centre import centre
from isbench.evaluation.engine import play
from isbench.models.predictor import build_predictor
from isbench.models.registry import load_card
from isbench.nn.backbones.hrnet import HRNet, Sizes
from isbench.nn.backbones.mini import Mini
from isbench.nn.clickmaps import draw_disks, encode_points
from isbench.nn.inference.predictor import InferenceConfig
from isbench.nn.inference.zoom_in import Zoom
from isbench.nn.losses import normalised_focal_loss
from isbench.training import Augmentation, Checks, ClickSampling, Crop, Recipe
from isbench.training.loop import Report, events
from isbench.training.training_run import open_training
from isbench.types import Click, ClickInput, Rules, Sample, Turn
from tests.support.click_inputs import click_inputs, find_false, find_missing, make_input
from tests.support.networks import eager, load_small

ROWS, COLS = 48, 64
SMALL_HRNET = Sizes(4, 4, 1, 1, (1, 1, 1))

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


# The network


def test_without_pseudo_clicks_it_is_ritm_with_the_same_weights(tmp_path: Path) -> None:
    bundled = load_card("ritm-mini").bundled["pack"]
    head = PseudoClick(Mini()).state_dict()
    weights = load_file(bundled)
    weights |= {key: value for key, value in head.items() if key.startswith("error_head.")}
    path = tmp_path / "weights.safetensors"
    save_file(weights, path)
    options = {"longest_side": "96", "overview": "96", "zoom_target": "64"}
    models = (
        eager("ritm-mini", str(bundled), **options),
        eager("pseudoclick-mini", str(path), pseudo_clicks=0, **options),
    )
    objects = load_dataset("sample", limit=1)
    ritm, same = (
        next(play(build_predictor(model), [objects.load(objects.keys[0])], Rules(4, 1.01)))
        for model in models
    )
    assert same.trajectory == ritm.trajectory
    assert any(inside for inside, _ in ritm.trajectory.overlap)


@pytest.mark.parametrize("trunk", [Mini, lambda: HRNet(SMALL_HRNET)], ids=["mini", "hrnet"])
def test_its_mask_is_ritms_and_disks_of_pseudo_clicks_join_those_of_clicks(trunk: Any) -> None:
    ritm, network = Ritm(trunk()).eval(), PseudoClick(trunk()).eval()
    network.load_state_dict(ritm.state_dict(), strict=False)
    inputs, _, _ = network.example_inputs((33, 48), 2)
    none, one, two = (
        encode_points([Click(10, 20, True), Click(20, 9, True)][:count]) for count in range(3)
    )
    later = encode_points([Click(20, 9, True)])
    with torch.no_grad():
        main, aux = ritm.forward_with_aux(inputs, two)
        (maps,) = network(inputs, two, none)
        (joined,) = network(inputs, one, later)
        outputs = network.forward_with_aux(inputs, two)
    assert torch.equal(maps[:, :1], main)
    assert maps.shape == (1, 3, 33, 48)
    assert torch.equal(joined, maps)
    assert torch.equal(torch.cat([outputs.main, outputs.errors], dim=1), maps)
    assert (outputs.aux is None) == (aux is None)
    assert aux is None or torch.equal(outputs.aux, aux)


def test_disks_of_pseudo_clicks_have_their_own_radius() -> None:
    made = [PseudoClick(Mini(), radius).eval() for radius in (5.0, 3.0)]
    made[1].load_state_dict(made[0].state_dict())
    inputs, points, pseudo = made[0].example_inputs((33, 48), 2)
    guides = [network._guide(inputs, points[:, :0], pseudo) for network in made]
    for guide, radius in zip(guides, (5.0, 3.0), strict=True):
        assert torch.equal(guide[:, 1:], draw_disks(pseudo, (33, 48), radius))
    with torch.no_grad():
        (large,), (small,) = (network(inputs, points[:, :0], pseudo) for network in made)
        assert not torch.equal(large, small)


# Training


def test_errors_are_those_of_the_own_mask_without_ignored_pixels() -> None:
    target = torch.tensor([1.0, 1, 0, 0, -1, -1]).reshape(1, 1, 1, 6)
    probability = torch.tensor([0.5, 0.48, 0.5, 0.48, 0.9, 0.1]).reshape(1, 1, 1, 6)
    errors = find_errors(torch.logit(probability), target)
    assert errors[0, :, 0].tolist() == [[0, 0, 1, 0, -1, -1], [0, 1, 0, 0, -1, -1]]


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    return normalised_focal_loss(logits, target, 0.5, 2.0)


def test_the_loss_of_the_error_maps_trains_all_but_the_mask_that_they_are_about() -> None:
    network = PseudoClick(HRNet(SMALL_HRNET)).train()
    inputs, clicks, _ = network.example_inputs((32, 48), 2)
    inputs, clicks = torch.cat([inputs, inputs.flip(3)]), torch.cat([clicks, clicks])
    target = (inputs[:, :1] > 0.6).float()
    outputs = network.forward_with_aux(inputs, clicks)
    loss = network.extra_loss(outputs, target, mask_loss)
    wanted = find_errors(outputs.main, target)
    assert loss.shape == (2,)
    assert torch.allclose(
        loss, sum(mask_loss(outputs.errors[:, k : k + 1], wanted[:, k : k + 1]) for k in (0, 1))
    )
    loss.sum().backward()
    reached = {key for key, value in network.named_parameters() if value.grad is not None}
    assert not any("cls_head" in key for key in reached)
    assert {"maps_transform.0.weight", "feature_extractor.conv1.weight"} <= reached
    assert {key for key in dict(network.named_parameters()) if "error_head" in key} <= reached


@pytest.mark.usefixtures("one_thread")
def test_fifty_steps_lower_the_joint_loss_and_that_of_the_error_maps(
    toy_pack: str, tmp_path: Path
) -> None:
    recipe = Recipe(
        steps=50,
        batch=2,
        crops=(Crop(32, 32),),
        learning_rate=2e-3,
        augmentation=Augmentation(whole=1.0),
        click_sampling=ClickSampling(iterative=0),
        checks=Checks(log=50, checkpoint=50, validation=0, objects=0),
    )
    card = replace(load_card("pseudoclick-mini"), recipe=recipe)
    with open_training(card, recipe, toy_pack, tmp_path) as run:
        losses, extra = [], []
        judge = run.network.extra_loss
        run.network.extra_loss = lambda *given: extra.append(judge(*given)) or extra[-1]
        for event in events(run):
            assert isinstance(event, Report)
            losses.append(event.loss)
    parts = [float(one.mean().detach()) for one in extra]
    assert len(losses) == len(parts) == 50
    assert all(0 < part < loss for part, loss in zip(parts, losses, strict=True))
    for one in (losses, parts):
        assert np.mean(one[-20:]) < 0.9 * np.mean(one[:5])


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
