"""FocalClick's training: focus crops, borders, the refiner's loss, and starting from ritm-lite."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from baselines.focalclick.cards import hrnet18s_s1, hrnet18s_s2, hrnet32_s2, lite
from baselines.focalclick.network import Segmentor, make_networks
from baselines.focalclick.predictor import FocalClick
from baselines.focalclick.predictor import build_predictor as build_focalclick
from baselines.focalclick.training import (
    crop_targets,
    crop_views,
    draw_focus_crop,
    find_trimap,
    focus_loss,
    map_points,
)
from baselines.focalclick.versions import S2
from isbench.models.predictor import build_predictor
from isbench.nn.backbones.hrnet import HRNet
from isbench.nn.backbones.lite import LiteTrunk
from isbench.nn.clickmaps import encode_points
from isbench.nn.inference.predictor import choose_crop, crop_inputs
from isbench.nn.inference.zoom_in import Box, Zoom
from isbench.nn.losses import binary_cross_entropy, normalised_focal_loss
from isbench.training import Augmentation, Checks, ClickSampling, Crop, Recipe
from isbench.training.loop import WEIGHTS, take_steps
from isbench.training.optimiser import draw_weights, make_optimiser
from isbench.training.training_run import open_training
from isbench.training.weights import start_from
from isbench.types import Click, Turn
from tests.support.focalclick import TINY, blank_image, build_tiny, play_clicks
from tests.support.networks import eager, network

SIDE = 256
BLOB = st.integers(0, 2**32 - 1).map(
    lambda seed: (
        cv2.GaussianBlur(np.random.default_rng(seed).random((48, 64)), (0, 0), 4) > 0.5
    ).astype(np.int8)
)
SEED = st.integers(0, 2**32 - 1)
mask_loss = partial(normalised_focal_loss, alpha=0.5, gamma=2.0)


def draw_object(rows: int, cols: int) -> NDArray[np.int8]:
    """Return a rectangle in the middle of a sample."""
    target = np.zeros((SIDE, SIDE), np.int8)
    top, left = (SIDE - rows) // 2, (SIDE - cols) // 2
    target[top : top + rows, left : left + cols] = 1
    return target


def draw_many(target: NDArray[np.int8], count: int = 300) -> list[Box]:
    return [draw_focus_crop(target, np.random.default_rng(seed)) for seed in range(count)]


# Focus crops


@given(BLOB, SEED)
def test_a_focus_crop_is_a_part_of_the_sample_and_not_too_small(
    target: NDArray[np.int8], seed: int
) -> None:
    box = draw_focus_crop(target, np.random.default_rng(seed))
    assert 0 <= box.top <= box.bottom <= 47
    assert 0 <= box.left <= box.right <= 63
    clipped = box.top == 0 or box.bottom == 47 or box.left == 0 or box.right == 63
    assert clipped or min(box.height, box.width) >= 9  # both edges are rounded
    assert box == draw_focus_crop(target, np.random.default_rng(seed))


def test_a_crop_around_the_object_is_enlarged_and_moved() -> None:
    boxes = draw_many(draw_object(59, 61))  # a pixel fewer than objects with windows
    ratios = np.array([[box.height / 59, box.width / 61] for box in boxes])
    assert ratios.min() > 1.1 - 2 / 59
    assert ratios.max() < 1.6 + 2 / 59
    assert np.ptp(ratios, axis=0).min() > 0.4
    moved = np.array([[box.top + box.bottom, box.left + box.right] for box in boxes]) / 2 - 127.5
    assert np.abs(moved / [59, 61]).max() < 0.3 + 2 / 59
    assert np.abs(moved / [59, 61]).max(axis=0).min() > 0.25


def test_four_in_ten_crops_of_larger_objects_are_windows_at_their_border() -> None:
    target = draw_object(60, 60)
    windows = [box for box in draw_many(target) if box.height < 60]
    assert 0.3 < len(windows) / 300 < 0.5
    sides = np.array([[box.height, box.width] for box in windows])
    assert (sides >= 60 / 3.9 - 1).all()
    assert (sides <= 60 / 1.5 + 1).all()
    distance = cv2.distanceTransform(target.view(np.uint8), cv2.DIST_C, 3)
    outside = cv2.distanceTransform((1 - target).view(np.uint8), cv2.DIST_C, 3)
    for box in windows:
        row, col = (box.top + box.bottom) // 2, (box.left + box.right) // 2
        assert max(distance[row, col], outside[row, col]) <= 2


def test_only_the_largest_component_is_focused_on() -> None:
    target = draw_object(50, 50)
    target[:12, :12] = 1
    for box in draw_many(target):
        assert box.top > 40
        assert box.left > 40


def test_without_an_object_the_whole_sample_is_seen_and_a_full_one_has_no_border() -> None:
    rng = np.random.default_rng(0)
    whole = Box(0, 63, 0, 79)
    assert draw_focus_crop(np.zeros((64, 80), np.int8), rng) == whole
    assert draw_focus_crop(np.full((64, 80), -1, np.int8), rng) == whole
    for box in draw_many(np.ones((SIDE, SIDE), np.int8)):
        assert min(box.height, box.width) > SIDE / 2


@settings(max_examples=30)
@given(SEED)
def test_training_crops_images_and_clicks_as_games_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = torch.from_numpy(rng.random((1, 3, 30, 40), dtype=np.float32))
    clicks = [Click(*map(int, rng.integers((30, 40))), bool(k % 2)) for k in range(3)]
    edges = np.sort(rng.integers(0, (30, 40), (2, 2)), axis=0).T.ravel()
    box, size = Box(*map(int, edges)), (16, 24)
    seen, wanted = crop_inputs(image, clicks, box, size)
    assert torch.equal(crop_views(image, [box], size), seen)
    points = map_points(encode_points(clicks)[..., :3], [box], size)
    torch.testing.assert_close(points, wanted[..., :3], rtol=1e-6, atol=1e-5)


# Borders and losses


@given(BLOB)
def test_a_trimap_is_what_scaling_by_eight_loses_dilated(target: NDArray[np.int8]) -> None:
    mask = target.astype(np.float32)
    small = (cv2.resize(mask, (8, 6)) > 0.5).astype(np.float32)
    lost = (cv2.resize(small, (64, 48)) > 0.5) != (mask > 0.5)
    wanted = cv2.dilate(lost.view(np.uint8), np.ones((3, 3)), iterations=2)
    found = find_trimap(torch.from_numpy(mask)[None, None])
    assert np.array_equal(found[0, 0].numpy(), wanted)


@settings(max_examples=30)
@given(st.integers(60, 100), st.integers(0, 60))
def test_an_object_cut_off_by_the_images_edge_has_no_details_there(edge: int, left: int) -> None:
    target = torch.zeros(1, 1, 128, 128)
    target[..., 20:, left:] = 1  # an object that continues beyond the edge of the image
    details = find_trimap(target)
    cut = target.clone()
    cut[..., edge:, :] = -1
    found = find_trimap(cut)
    assert (found[..., edge:, :] == -1).all()
    scored = found >= 0
    assert torch.equal(found[scored], details[scored])
    assert scored[..., : edge - 10, :].all()


def test_ignored_pixels_neither_are_details_nor_teach_the_refiner() -> None:
    rng = np.random.default_rng(0)
    target = torch.from_numpy(draw_object(100, 80)[None, None]).float()
    target[..., 120:, :] = -1
    boxes = [Box(60, 187, 70, 197)]
    wanted = crop_targets(target, boxes, (64, 64))
    assert (wanted[..., 31:, :] == -1).all()  # rows 60 to 119 of 128, and what touches the others
    assert (wanted[..., :29, :] >= 0).all()
    logits = [
        torch.from_numpy(rng.normal(size=(1, 1, 64, 64))).float().requires_grad_() for _ in "ab"
    ]
    focus_loss(logits[0], logits[1], boxes, target, mask_loss).sum().backward()
    for one in logits:
        assert one.grad is not None
        assert not one.grad[wanted < 0].any()
    assert logits[0].grad is not None
    assert logits[0].grad[wanted >= 0].all()
    assert logits[1].grad is not None
    assert logits[1].grad[find_trimap(wanted) >= 0].all()


def test_the_loss_of_the_refiner_counts_details_twice() -> None:
    target = torch.from_numpy(draw_object(70, 50)[None, None]).float()
    boxes, refined, trimap = [Box(80, 175, 90, 165)], *torch.randn(2, 1, 1, 64, 64)
    wanted = crop_targets(target, boxes, (64, 64))
    details = find_trimap(wanted)
    assert 0 < details.mean() < 0.5
    p = torch.sigmoid(refined)
    focal = (wanted - p).abs() ** 2
    terms = -0.5 * focal / focal.mean() * torch.log(1 - (wanted - p).abs())
    weights = torch.where(details > 0, 1.0, 0.5)
    expected = (weights * terms).sum() / weights.sum() + binary_cross_entropy(trimap, details)
    found = focus_loss(refined, trimap, boxes, target, mask_loss)
    assert found.tolist() == pytest.approx([float(expected)], rel=1e-4)


# Training


def make_scene() -> tuple[Tensor, Tensor, NDArray[np.int8]]:
    """Return inputs (2, 4, 64, 80), clicks and targets."""
    rng = np.random.default_rng(0)
    inputs = torch.from_numpy(rng.random((2, 4, 64, 80), dtype=np.float32))
    targets = np.zeros((2, 64, 80), np.int8)
    targets[0, 10:40, 20:60], targets[1, 5:50, 10:30] = 1, 1
    points = torch.full((2, 4, 3), -1.0)
    points[0, 0], points[1, 0] = torch.tensor([25.0, 40, 0]), torch.tensor([25.0, 20, 0])
    return inputs, points, targets


def draw_boxes(made: Segmentor, targets: NDArray[np.int8]) -> Tensor:
    generators = [np.random.default_rng(k) for k in range(len(targets))]
    return made.draw_training_inputs(targets, generators)[0]


def test_with_ritm_lites_weights_it_answers_as_ritm_lite_and_its_refiner_learns(
    tmp_path: Path,
) -> None:
    ritm: Any = network("ritm-lite").eval()
    save_file(ritm.state_dict(), tmp_path / "ritm.safetensors")
    made = Segmentor(LiteTrunk(), S2, residual=True)
    draw_weights(made, "gluon", seed=3)
    started = start_from(made, tmp_path / "ritm.safetensors")
    assert not started.left
    assert all(key.startswith("refiner.") for key in started.new)
    made.eval()
    inputs, points, targets = make_scene()
    boxes = draw_boxes(made, targets)
    with torch.no_grad():
        wanted = ritm.forward_with_aux(inputs, points).main
        outputs = made.forward_with_aux(inputs, points, boxes)
        whole = made.forward_with_aux(inputs, points, torch.tensor([[0, 63, 0, 79]] * 2))
        plain, _ = made(inputs, points)
    assert outputs.focus is not None
    assert whole.focus is not None
    for answer in (outputs.main, plain, whole.focus.refined):
        torch.testing.assert_close(answer, wanted, rtol=0, atol=1e-5)
    assert not torch.equal(outputs.focus.refined, wanted)
    made.train()
    outputs = made.forward_with_aux(inputs, points, boxes)
    made.extra_loss(outputs, torch.from_numpy(targets)[:, None].float(), mask_loss).sum().backward()
    for key, value in made.refiner.named_parameters():
        assert value.grad is not None, key
        # a bias before a norm has no effect
        assert value.grad.any() or key.endswith("bias"), key


@pytest.mark.parametrize("residual", [False, True])
def test_gradients_of_the_refiners_loss_reach_the_segmentor_too(residual: bool) -> None:
    made = Segmentor(HRNet(TINY), S2, residual).train()
    inputs, points, targets = make_scene()
    outputs = made.forward_with_aux(inputs, points, draw_boxes(made, targets))
    assert outputs.aux is not None
    loss = made.extra_loss(outputs, torch.from_numpy(targets)[:, None].float(), mask_loss)
    assert loss.shape == (2,)
    loss.sum().backward()
    reached = {key for key, value in made.named_parameters() if value.grad is not None}
    assert {"maps_transform.0.weight", "feature_extractor.conv1.weight"} <= reached
    assert {f"refiner.{key}" for key, _ in made.refiner.named_parameters()} <= reached


def test_a_sample_is_refined_alike_in_any_batch() -> None:
    made = make_networks(partial(HRNet, TINY), S2)
    segmentor: Any = made["segmentor"].eval()
    inputs, points, targets = make_scene()
    boxes = draw_boxes(segmentor, targets)
    with torch.no_grad():
        both = segmentor.forward_with_aux(inputs, points, boxes).focus
        alone = segmentor.forward_with_aux(inputs[1:], points[1:], boxes[1:]).focus
    torch.testing.assert_close(both.refined[1:], alone.refined, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both.trimap[1:], alone.trimap, rtol=1e-4, atol=1e-5)
    assert both.refined.shape == both.trimap.shape == (2, 1, 64, 80)


@pytest.mark.parametrize("card", [hrnet18s_s1, hrnet18s_s2, hrnet32_s2, lite])
def test_every_card_has_a_recipe_whose_rates_fit_its_network(card: Any) -> None:
    assert isinstance(card.recipe, Recipe)
    assert card.recipe.click_sampling.centred == 1
    with torch.device("meta"):
        made = card.networks(**card.options)["segmentor"]
    rates = {group["factor"] for group in make_optimiser(made, card.recipe).param_groups}
    assert rates == ({1.0, 0.3} if card is lite else {1.0, 2.0})


@pytest.mark.usefixtures("one_thread")
def test_a_training_lowers_the_refiners_loss_and_writes_one_file_for_both_networks(
    toy_pack: str, tmp_path: Path
) -> None:
    recipe = Recipe(
        steps=80,
        batch=2,
        crops=(Crop(32, 32),),
        learning_rate=2e-3,
        augmentation=Augmentation(whole=1.0),
        click_sampling=ClickSampling(iterative=1),
        checks=Checks(log=50, checkpoint=50, validation=0, objects=0),
    )
    trunk = partial(HRNet, TINY)
    card = replace(
        hrnet18s_s2,
        build=partial(build_focalclick, trunk, S2),
        networks=partial(make_networks, trunk, S2),
        recipe=recipe,
    )
    with open_training(card, recipe, toy_pack, tmp_path) as run:
        losses, judge = [], run.network.extra_loss
        run.network.extra_loss = lambda *given: losses.append(judge(*given)) or losses[-1]
        assert len(list(take_steps(run))) == 80
    parts = [float(one.mean().detach()) for one in losses]
    assert np.mean(parts[-10:]) < 0.8 * np.mean(parts[:5])
    predictor = build_predictor(eager(card, str(tmp_path / WEIGHTS), size=32))
    assert isinstance(predictor, FocalClick)
    (answer,) = play_clicks(predictor, blank_image(24, 32), [Click(12, 16, True)])
    assert answer.mask.shape == (24, 32)


# Crops that keep their proportions


def test_without_squares_the_segmentor_sees_crops_in_their_proportions() -> None:
    predictor, seen = build_tiny(), []
    computed = {
        name: lambda *inputs, name=name, one=one: seen.append((name, inputs[0])) or one(*inputs)
        for name, one in predictor.networks.items()
    }
    wide = replace(predictor, networks=computed, views=Zoom(48))
    state = wide.start(wide.begin(blank_image(30, 60)), None)
    (answer,) = wide.predict([Turn(state, (Click(15, 30, True),))])
    assert answer.mask.shape == (30, 60)
    assert answer.state.focus is not None
    sizes = {name: tuple(inputs.shape[2:]) for name, inputs in seen}
    assert sizes == {"segmentor": (24, 48), "refiner": (48, 48)}


def test_a_whole_image_may_have_a_size_of_its_own() -> None:
    predictor, seen = build_tiny(), []
    segment = predictor.networks["segmentor"]
    networks = {
        **predictor.networks,
        "segmentor": lambda *inputs: seen.append(tuple(inputs[0].shape[2:])) or segment(*inputs),
    }
    views, config = Zoom(48), replace(predictor.config, overview=32)
    wide = replace(predictor, networks=networks, views=views, config=config)
    clicks = [Click(15, 30, True), Click(10, 20, True)]
    first, _ = play_clicks(wide, blank_image(30, 60), clicks)
    box = choose_crop(config, first.state.last, tuple(clicks))
    assert box is not None
    assert seen == [(16, 32), views.choose_size(box)]


def test_the_light_card_keeps_proportions_unless_told_otherwise() -> None:
    for square in (False, True):
        predictor = build_predictor(eager("focalclick-lite", size=64, square=square))
        assert isinstance(predictor, FocalClick)
        assert predictor.views == Zoom(64, square=square)
