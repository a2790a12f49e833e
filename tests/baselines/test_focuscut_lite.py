"""FocusCut's views around RITM's network on the light trunk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.cards import ritm_lite
from baselines.focuscut.cards import lite
from baselines.focuscut.lite import make_networks, make_point_inputs
from baselines.focuscut.predictor import View
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.nn.clickmaps import encode_points
from isbench.nn.network import example_image, example_points
from isbench.testing import check_predictor
from isbench.training import Checks, Crop, Recipe, train
from isbench.training.settings import with_settings
from isbench.training.weights import save_weights, start_from
from isbench.types import Click, Turn
from tests.support.networks import eager, network

SIZE = (48, 64)


@pytest.fixture(scope="module")
def ritm_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save random weights of `ritm-lite`."""
    path = tmp_path_factory.mktemp("weights") / "ritm.safetensors"
    save_weights(network("ritm-lite"), path, {})
    return path


def make_view(*clicks: Click) -> View:
    rng = np.random.default_rng(len(clicks))
    return View(
        rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8),
        clicks,
        rng.random(SIZE) < 0.5,
    )


VIEWS = [
    make_view(Click(3, 4, True), Click(40, 60, True), Click(9, 9, False)),
    make_view(Click(20, 30, False)),
    make_view(),
]


def test_the_network_is_that_of_ritm_lite(ritm_weights: Path) -> None:
    ritm, ours = network("ritm-lite"), network("focuscut-lite")
    for one in (ritm, ours):
        started = start_from(one, ritm_weights)
        assert (started.new, started.left) == ((), ())
    inputs = example_image(SIZE), example_points(SIZE, 4)
    with torch.inference_mode():
        torch.testing.assert_close(ours.eval()(*inputs), ritm.eval()(*inputs), rtol=0, atol=1e-5)


def test_a_view_enters_as_image_mask_and_points() -> None:
    inputs, points = make_point_inputs(VIEWS[:1], "cpu")
    image, clicks, mask = VIEWS[0]
    assert np.array_equal(inputs[0, :3].permute(1, 2, 0).mul(255).round().byte().numpy(), image)
    assert np.array_equal(inputs[0, 3].numpy(), mask)
    assert torch.equal(points, encode_points(clicks))


def test_views_together_are_answered_as_alone() -> None:
    made = make_networks()["network"].eval()
    with torch.inference_mode():
        (together,) = made(*make_point_inputs(VIEWS, "cpu"))
        alone = [made(*make_point_inputs([view], "cpu"))[0] for view in VIEWS]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)


def test_the_predictor_keeps_the_contract() -> None:
    check_predictor(eager("focuscut-lite", view_size=48))


def test_clicks_get_focus_views() -> None:
    predictor = build_predictor(eager("focuscut-lite", view_size=48))
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    state, clicks = predictor.start(predictor.begin(image), None), ()
    for click in (Click(30, 40, True), Click(5, 6, False), Click(50, 70, True)):
        clicks = (*clicks, click)
        ((mask, state),) = predictor.predict([Turn(state, clicks)])
        assert mask.shape == (60, 80)
    assert state.focus


@pytest.mark.usefixtures("one_thread")
def test_its_training_starts_from_ritm_lite_and_gives_weights_of_its_network(
    toy_pack: str, ritm_weights: Path, tmp_path: Path
) -> None:
    assert isinstance(lite.recipe, Recipe)
    plan = replace(
        with_settings(lite.recipe, {"steps": "2", "init": str(ritm_weights)}),
        batch=4,
        crops=(Crop(64, 64),),
        checks=Checks(validation=0),
    )
    train(lite, toy_pack, tmp_path, recipe=plan)
    path = tmp_path / "weights.safetensors"
    before, after = network("ritm-lite"), network("ritm-lite")
    start_from(before, ritm_weights)
    assert start_from(after, path).new == ()
    assert not torch.equal(*(next(one.head.parameters()) for one in (before, after)))
    for card in (lite, ritm_lite):
        build_predictor(load_model(card, weights=str(path), backend="eager"))
