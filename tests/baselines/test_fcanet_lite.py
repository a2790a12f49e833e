"""FCA-Net's branch inserted into the network of ritm-lite: its first click, losses, masks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.fcanet.lite import FcaLite, SisPredictor, measure_distances
from isbench.models.predictor import build_predictor
from isbench.models.registry import load_card
from isbench.nn.clickmaps import encode_points, mirror_points
from isbench.nn.inference.predictor import CropPredictor, InferenceConfig, answer_mask_guided
from isbench.nn.losses import normalised_focal_loss
from isbench.nn.network import example_image
from isbench.testing import check_predictor
from isbench.training.clicks import UNORDERED
from isbench.training.optimiser import draw_weights
from isbench.training.step import compute_loss
from isbench.training.weights import save_weights, start_from
from isbench.types import Click, Prediction, Turn
from tests.support.networks import SMALL, eager, load_small, make_object, masks, network

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = 48, 64
CLICKS = [Click(20, 24, True), Click(4, 40, False), Click(30, 20, True)]
NEGATIVE_FIRST = [CLICKS[1], CLICKS[0], CLICKS[2]]


def make_inserted(folder: Path) -> tuple[torch.nn.Module, FcaLite]:
    """Return ritm-lite with random weights, and a network that starts from them."""
    base = network("ritm-lite")
    draw_weights(base, "gluon", seed=1)
    save_weights(base, folder / "base.safetensors", {})
    start_from(base, folder / "base.safetensors")  # the file has half the precision
    inserted = network("fcanet-lite")
    assert isinstance(inserted, FcaLite)
    draw_weights(inserted, "gluon", seed=2)
    loaded = start_from(inserted, folder / "base.safetensors")
    assert loaded.left == ()
    assert all(key.startswith("first_") for key in loaded.new)
    return base, inserted


def make_learned() -> FcaLite:
    """Return a network in which the branch has an effect."""
    made = network("fcanet-lite").eval()
    assert isinstance(made, FcaLite)
    draw_weights(made, "gluon", seed=3)
    torch.nn.init.normal_(made.first_join.weight, std=0.3)
    return made


def answer(made: torch.nn.Module, points: Tensor) -> Tensor:
    with torch.no_grad():
        (logits,) = made(example_image(SIZE), points)
    assert isinstance(logits, Tensor)
    return logits


def set_order(points: Tensor, order: float) -> Tensor:
    """Return the points of a game as in training, where a click may have no order."""
    changed = points.clone()
    changed[..., 2] = torch.where(points[..., 2] == 0, order, points[..., 2])
    return changed


@pytest.mark.parametrize("size", [(48, 64), (33, 47)])
def test_the_inserted_branch_changes_nothing_and_learns(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    base, inserted = make_inserted(tmp_path)
    inputs, points = example_image(size), encode_points(CLICKS)
    with torch.no_grad():
        (wanted,) = base.eval()(inputs, points)
        (found,) = inserted.eval()(inputs, points)
    assert wanted.std() > 0
    assert torch.allclose(found, wanted, atol=1e-5)
    target = (torch.rand(2, 1, *size) > 0.5).float()
    outputs = inserted.train().forward_with_aux(
        torch.cat([inputs, inputs]), torch.cat([points, points])
    )
    recipe = load_card("fcanet-lite").recipe
    assert recipe is not None
    compute_loss(inserted, outputs, target, recipe).backward()
    still = [
        key
        for key, parameter in inserted.named_parameters()
        if key.startswith("first_") and not (parameter.grad is not None and parameter.grad.any())
    ]
    assert still == []


def test_the_mask_alone_trains_the_join_before_it_has_an_effect(tmp_path: Path) -> None:
    _, inserted = make_inserted(tmp_path)
    (logits,) = inserted.train()(
        torch.cat([example_image(SIZE)] * 2), torch.cat([encode_points(CLICKS)] * 2)
    )
    logits.sum().backward()
    assert inserted.first_join.weight.grad is not None
    assert inserted.first_join.weight.grad.any()


def test_the_first_click_is_the_positive_one_of_order_0_and_no_other() -> None:
    made = make_learned()
    points = encode_points(CLICKS)
    with_first, without = answer(made, points), answer(made, set_order(points, UNORDERED))
    assert not torch.allclose(with_first, without, atol=1e-4)
    # disks do not depend on the order, so only the branch can tell these games apart
    assert torch.equal(answer(made, set_order(encode_points(NEGATIVE_FIRST), 7)), without)
    assert torch.equal(answer(made, encode_points(NEGATIVE_FIRST)), without)
    other = answer(made, encode_points([CLICKS[2], CLICKS[1], CLICKS[0]]))
    assert not torch.allclose(other, with_first, atol=1e-4)


def test_points_of_training_mean_what_points_of_games_mean() -> None:
    made, points = make_learned(), encode_points(CLICKS)
    assert torch.equal(answer(made, points[..., :3]), answer(made, points))


def test_a_batch_gets_the_answers_of_its_parts() -> None:
    made = make_learned()
    both = [encode_points(CLICKS), set_order(encode_points(CLICKS), UNORDERED)]
    with torch.no_grad():
        (together,) = made(torch.cat([example_image(SIZE)] * 2), torch.cat(both))
    apart = torch.cat([answer(made, points) for points in both])
    assert torch.allclose(together, apart, atol=1e-5)


def test_the_maps_of_a_mirrored_image_are_the_mirrored_maps() -> None:
    made, points = make_learned(), encode_points(CLICKS)
    mirrored = mirror_points(points, SIZE[1])
    with torch.no_grad():
        one = made.forward_with_aux(example_image(SIZE), points)
        other = made.forward_with_aux(example_image(SIZE), mirrored)
    for name in ("first_proximity", "proximity"):
        assert torch.allclose(getattr(other, name).flip(3), getattr(one, name), atol=1e-5)


@pytest.mark.parametrize("size", [(9, 13), (5, 7), (1, 1)])
def test_distances_are_in_pixels_of_the_input_whatever_the_map(size: tuple[int, int]) -> None:
    distances = measure_distances(encode_points([Click(3, 5, True)]), (9, 13), size)[:, :1]
    rows, cols = torch.arange(9.0), torch.arange(13.0)
    exact = torch.hypot(rows[:, None] - 3, cols[None] - 5)
    corners = exact[:: max(8, 1), :: max(12, 1)][: size[0], : size[1]]
    ends = distances[0, 0][:: max(size[0] - 1, 1), :: max(size[1] - 1, 1)]
    assert torch.allclose(ends, corners)
    if size == (9, 13):
        assert torch.allclose(distances[0, 0], exact)


def test_proximity_is_1_at_a_click_falls_with_distance_and_is_0_without_clicks() -> None:
    made = make_learned()
    size = (161, 161)
    points = encode_points([Click(80, 80, True), Click(0, 0, False)])
    with torch.no_grad():
        outputs = made.forward_with_aux(example_image(size), points)
        none = made.forward_with_aux(example_image(size), set_order(points, UNORDERED))
        empty = made.forward_with_aux(example_image(size), torch.full((1, 2, 3), -1.0))
    first, nearest = outputs.first_proximity[0, 0], outputs.proximity[0, 0]
    assert first[80, 80] == nearest[80, 80] == nearest[0, 0] == 1
    assert first[80, 112] == pytest.approx(0.5, abs=0.02)
    assert first[80, 145:].max() == first[0, 0] == 0
    assert not none.first_proximity.any()
    assert torch.equal(none.proximity, outputs.proximity)
    assert not empty.proximity.any()


def test_an_error_costs_more_near_a_click_than_far_from_all() -> None:
    made = make_learned()
    size = (161, 161)
    with torch.no_grad():
        outputs = made.forward_with_aux(example_image(size), encode_points([Click(80, 80, True)]))
    mask_loss = partial(normalised_focal_loss, alpha=0.5, gamma=2.0)
    target = torch.zeros(1, 1, *size)
    losses = {}
    for name, row in (("near", 84), ("far", 150)):
        for field in ("main", "first"):
            wrong = torch.full((1, 1, *size), -9.0)
            wrong[..., row - 4 : row + 4, 76:84] = 9.0
            right = torch.full((1, 1, *size), -9.0)
            logits = {"main": right, "first": right, field: wrong}
            losses[field, name] = float(
                made.extra_loss(outputs._replace(**logits), target, mask_loss)
            )
    assert losses["first", "near"] > 2 * losses["first", "far"] > 0
    assert losses["main", "near"] > 0.01
    assert losses["main", "far"] < 1e-3
    ignored = made.extra_loss(outputs, torch.full_like(target, -1), mask_loss)
    assert ignored.shape == (1,)
    assert not ignored.any()


def test_the_loss_of_the_branch_is_a_weighted_cross_entropy() -> None:
    made = make_learned()
    with torch.no_grad():
        outputs = made.forward_with_aux(example_image(SIZE), encode_points(CLICKS))
    target = (torch.rand(1, 1, *SIZE) > 0.5).float()
    zero = outputs._replace(proximity=torch.zeros_like(target))
    plain = F.binary_cross_entropy_with_logits(outputs.first, target, reduction="none")
    wanted = 0.4 * (plain * (1 + 2 * outputs.first_proximity)).mean()
    mask_loss = partial(normalised_focal_loss, alpha=0.5, gamma=2.0)
    assert made.extra_loss(zero, target, mask_loss)[0] == pytest.approx(float(wanted), rel=1e-5)


def test_most_samples_of_its_recipe_have_a_first_click() -> None:
    recipe = load_card("fcanet-lite").recipe
    assert recipe is not None
    assert recipe.click_sampling.centred == 0.9
    base = load_card("ritm-lite").recipe
    assert base is not None
    assert replace(recipe.click_sampling, centred=0.5) == base.click_sampling


# Structural integrity


class Parts(torch.nn.Module):
    """Its mask is the red channel, whatever the clicks."""

    def forward(self, inputs: Tensor, clicks: Tensor) -> tuple[Tensor]:
        return (16 * inputs[:, :1] - 8,)


SHAPE = 40, 60
LEFT, RIGHT = (slice(5, 15), slice(5, 20)), (slice(20, 35), slice(40, 55))


PLAIN = CropPredictor(
    InferenceConfig(flip=False, longest_side=max(SHAPE) // 2), partial(answer_mask_guided, Parts())
)


def ask(predictor: CropPredictor | SisPredictor, clicks: tuple[Click, ...]) -> Prediction:
    image = np.zeros((*SHAPE, 3), np.uint8)
    image[LEFT], image[RIGHT] = 255, 255
    return predictor.predict([Turn(predictor.start(predictor.begin(image), None), clicks)])[0]


IN_LEFT, IN_RIGHT, BESIDE = Click(10, 10, True), Click(30, 50, True), Click(2, 30, True)


@pytest.mark.parametrize(
    ("clicks", "left", "right"),
    [
        ((IN_LEFT,), True, False),
        ((IN_RIGHT,), False, True),
        ((IN_LEFT, IN_RIGHT), True, True),
        ((IN_LEFT, Click(30, 50, False)), True, False),
        ((BESIDE,), False, False),
        ((Click(10, 10, False),), True, True),  # there is no positive click to keep parts by
    ],
)
def test_sis_keeps_the_parts_with_a_positive_click(
    clicks: tuple[Click, ...], left: bool, right: bool
) -> None:
    whole, kept = ask(PLAIN, clicks), ask(SisPredictor(PLAIN), clicks)
    assert (kept.mask[LEFT].any(), kept.mask[RIGHT].any()) == (left, right)
    for part, is_kept in ((LEFT, left), (RIGHT, right)):
        assert not is_kept or np.array_equal(kept.mask[part], whole.mask[part])
    # the next pass sees the whole answer as its previous mask
    assert torch.equal(kept.state.probability, whole.state.probability)


@pytest.mark.parametrize("sis", ["on", "off"])
def test_its_predictor_keeps_the_contract(sis: str) -> None:
    model = load_small("fcanet-lite", sis=sis)
    assert isinstance(build_predictor(model), SisPredictor) == (sis == "on")
    check_predictor(model)


def test_without_sis_its_games_are_those_of_ritm_with_the_same_weights(tmp_path: Path) -> None:
    _, inserted = make_inserted(tmp_path)
    save_weights(inserted, tmp_path / "inserted.safetensors", {})
    sample = make_object((60, 90))
    names = {"ritm-lite": "base.safetensors", "fcanet-lite": "inserted.safetensors"}
    (ritm, fcanet) = (
        masks(eager(name, str(tmp_path / file), **SMALL), sample) for name, file in names.items()
    )
    assert all(np.array_equal(a, b) for a, b in zip(ritm, fcanet, strict=True))
    assert any(mask.any() for mask in ritm)
