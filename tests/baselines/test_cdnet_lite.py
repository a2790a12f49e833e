"""FDM and PDM inserted into ritm-lite: without effect at first, and then they learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from baselines.cdnet_lite import CdnetLite
from baselines.pdm import diffuse_pixels
from baselines.ritm import Ritm
from isbench.models.registry import load_card
from isbench.nn.backbones.lite import LiteTrunk
from isbench.nn.backbones.mini import Mini
from isbench.nn.clickmaps import draw_disks
from isbench.nn.losses import normalised_focal_loss
from isbench.testing import check_predictor
from isbench.training import recipes
from isbench.training.optimiser import draw_weights
from isbench.training.step import compute_loss
from isbench.training.weights import start_from
from tests.support.networks import load_small, network
from tests.support.synthetic import POINTS, draw_picture, fill_state

ADDED = {
    "cdnet-lite": ("feature_extractor.FDM.", "latent_head.", "pdm_gate"),
    "baseline-lite-fdm": ("fdm_low.",),
}
NAMES = [*ADDED]
INPUTS = torch.cat([draw_picture(4, 64, 96), draw_picture(4, 64, 96, 5)])
CLICKS = torch.cat([POINTS, POINTS.flip(1)])
TARGET = (INPUTS[:, :1] > 0.5).float()


def make_ritm(seed: int) -> Any:
    """Return ritm-lite with random weights and statistics of its norms."""
    torch.manual_seed(seed)
    made = Ritm(LiteTrunk())
    draw_weights(made, "gluon", seed)
    for _ in range(2):
        made.train()(INPUTS, CLICKS)
    return made.eval()


def insert(name: str, ritm: torch.nn.Module, folder: Path) -> Any:
    """Return a fresh network that starts from the weights of ritm-lite as a training does."""
    path = folder / "ritm.safetensors"
    save_file(ritm.state_dict(), path)
    made = network(name)
    draw_weights(made, recipes.LITE_TUNED.initial, 3)
    started = start_from(made, path)
    assert started.left == ()
    assert all(key.startswith(ADDED[name]) for key in started.new)
    return made


def backward(made: Any) -> None:
    made.zero_grad(set_to_none=True)
    compute_loss(made, made.forward_with_aux(INPUTS, CLICKS), TARGET, recipes.LITE).backward()


def mask_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return normalised_focal_loss(logits, target, 0.5, 2.0)


def has_gradient(parameter: torch.Tensor) -> bool:
    return parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)


@pytest.mark.parametrize("name", NAMES)
def test_with_ritms_weights_a_fresh_network_answers_as_ritm(name: str, tmp_path: Path) -> None:
    ritm = make_ritm(0)
    made = insert(name, ritm, tmp_path)
    for training in (False, True):  # norms use the statistics of the batch in training
        ritm.train(training), made.train(training)
        with torch.no_grad():
            (wanted,), (found,) = ritm(INPUTS, CLICKS), made(INPUTS, CLICKS)
            main = made.forward_with_aux(INPUTS, CLICKS).main
        assert wanted.std() > 1e-3
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(main, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_added_parts_learn_from_the_first_step_and_all_of_them_from_the_second(
    name: str, tmp_path: Path
) -> None:
    made = insert(name, make_ritm(0), tmp_path).train()
    backward(made)
    first = {key for key, one in made.named_parameters() if has_gradient(one)}
    fdm = ADDED[name][0]
    norms = {f"{fdm}{norm}.{kind}" for norm in ("bn", "bn2") for kind in ("weight", "bias")}
    assert norms <= first
    if name == "cdnet-lite":
        assert {"pdm_gate", "latent_head.layers.2.weight"} <= first
        # answers that only training needs do not disturb the features before they have learned
        assert not any(key.startswith("latent_head.layers.0.") for key in first)
    torch.optim.SGD(made.parameters(), 0.1).step()
    backward(made)
    still = [key for key, one in made.named_parameters() if not has_gradient(one)]
    assert still == []


@pytest.mark.parametrize("name", NAMES)
def test_features_diffuse_once_their_norms_have_weights(name: str, tmp_path: Path) -> None:
    made = insert(name, make_ritm(0), tmp_path).eval()
    with torch.no_grad():
        (before,) = made(INPUTS, CLICKS)
        made.get_submodule(ADDED[name][0].removesuffix(".")).bn.weight.fill_(1)
        (after,) = made(INPUTS, CLICKS)
    assert (after - before).abs().max() > 1e-3


def test_the_gate_weights_what_diffuses_over_pixels() -> None:
    made = CdnetLite(Mini(16))
    made.load_state_dict(fill_state(made.state_dict()))
    made.eval()
    disks = draw_disks(CLICKS, (64, 96), 5)
    with torch.no_grad():
        made.pdm_gate.fill_(0)
        (plain,) = made(INPUTS, CLICKS)
        made.pdm_gate.fill_(0.3)
        (refined,) = made(INPUTS, CLICKS)
    torch.testing.assert_close(refined, plain + 0.6 * diffuse_pixels(INPUTS[:, :3], plain, disks))
    # clicks weigh 10, so near them the gate alone decides
    assert (refined - plain).abs().max() > 0.5


def test_only_the_gate_learns_through_the_diffusion_of_pixels() -> None:
    made = CdnetLite(Mini(16)).eval()
    gradients = []
    for gate in (0.0, 0.7):
        torch.nn.init.constant_(made.pdm_gate, gate)
        made.zero_grad(set_to_none=True)
        made(INPUTS, CLICKS)[0].sum().backward()
        gradients.append({k: v.grad for k, v in made.named_parameters() if v.grad is not None})
    closed, opened = gradients
    assert "pdm_gate" in closed
    for key, value in closed.items():
        torch.testing.assert_close(opened[key], value)


def test_without_the_previous_mask_it_is_blank() -> None:
    state = fill_state(CdnetLite(Mini(16)).state_dict())
    with_mask, without = (
        CdnetLite(Mini(16), previous_mask).eval() for previous_mask in (True, False)
    )
    with_mask.load_state_dict(state)
    without.load_state_dict(state)
    blank = torch.cat([INPUTS[:, :3], torch.zeros_like(TARGET)], dim=1)
    with torch.no_grad():
        (wanted,) = with_mask(blank, CLICKS)
        assert torch.equal(without(INPUTS[:, :3], CLICKS)[0], wanted)
        assert torch.equal(without(INPUTS, CLICKS)[0], wanted)
        assert not torch.equal(with_mask(INPUTS, CLICKS)[0], wanted)


def test_batching_never_changes_an_answer() -> None:
    made = CdnetLite(Mini(16))
    made.load_state_dict(fill_state(made.state_dict()))
    made.eval()
    with torch.no_grad():
        made.pdm_gate.fill_(0.5)
        (both,) = made(INPUTS, CLICKS)
        alone = [made(INPUTS[k : k + 1], CLICKS[k : k + 1])[0] for k in range(2)]
    scale = float(both.abs().max())
    torch.testing.assert_close(both / scale, torch.cat(alone) / scale, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_the_contract_of_predictors(name: str) -> None:
    check_predictor(load_small(name, overview="64"))


def test_the_option_previous_mask_keeps_the_contract_of_predictors() -> None:
    check_predictor(load_small("cdnet-lite", overview="64", previous_mask="off"))


def test_cdnets_rule_of_clicks_is_its_recipes_only_difference() -> None:
    recipe = load_card("cdnet-lite").recipe
    sampling = recipes.LITE_TUNED.click_sampling
    assert recipe == replace(recipes.LITE_TUNED, click_sampling=replace(sampling, iterative=0))


@pytest.mark.usefixtures("one_thread")
def test_steps_on_one_batch_lower_both_the_masks_loss_and_the_extra_loss() -> None:
    torch.manual_seed(0)
    made = CdnetLite(Mini(16)).train()
    optimiser = torch.optim.Adam(made.parameters(), 3e-3)
    inputs, clicks = made.example_inputs((32, 48), 4)
    inputs, clicks = torch.cat([inputs, inputs.flip(3)]), torch.cat([clicks, clicks])
    target, losses = (inputs[:, :1] > 0.6).float(), []
    for _ in range(25):
        outputs = made.forward_with_aux(inputs, clicks)
        parts = mask_loss(outputs.main, target), made.extra_loss(outputs, target, mask_loss)
        losses.append([float(part.mean().detach()) for part in parts])
        optimiser.zero_grad()
        sum(part.mean() for part in parts).backward()
        optimiser.step()
    before, after = np.mean(losses[:3], axis=0), np.mean(losses[-3:], axis=0)
    assert (after < 0.9 * before).all()
    assert float(made.pdm_gate.detach()) != 0
