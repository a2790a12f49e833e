"""PseudoClick's network: RITM's with an error head, and how that is trained."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from baselines.pseudoclick.network import PseudoClick, find_errors
from baselines.ritm import Ritm
from isbench.datasets import load_dataset
from isbench.evaluation.engine import play
from isbench.models.predictor import build_predictor
from isbench.models.registry import load_card
from isbench.nn.backbones.hrnet import HRNet
from isbench.nn.backbones.mini import Mini
from isbench.nn.backbones.sizes import Sizes
from isbench.nn.clickmaps import draw_disks, encode_points
from isbench.nn.losses import normalised_focal_loss, soft_iou_loss
from isbench.training import Augmentation, Checks, ClickSampling, Crop, Recipe
from isbench.training.loop import Report, take_steps
from isbench.training.optimiser import draw_weights
from isbench.training.recipe import Weighted
from isbench.training.training_run import open_training
from isbench.training.weights import save_weights, start_from
from isbench.types import Click, Rules
from tests.support.networks import SMALL, eager, make_object, masks, network

SMALL_HRNET = Sizes(4, 4, 1, 1, (1, 1, 1))


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
    own = network.load_state_dict(ritm.state_dict(), strict=False)
    assert own.unexpected_keys == []
    assert all(key.startswith("error_head.") for key in own.missing_keys)
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
        loss, sum(soft_iou_loss(outputs.errors[:, k : k + 1], wanted[:, k : k + 1]) for k in (0, 1))
    )
    loss.sum().backward()
    reached = {key for key, value in network.named_parameters() if value.grad is not None}
    assert not any("cls_head" in key for key in reached)
    assert {"maps_transform.0.weight", "feature_extractor.conv1.weight"} <= reached
    assert {key for key in dict(network.named_parameters()) if "error_head" in key} <= reached


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("alone", [False, True])
def test_fifty_steps_lower_the_loss_of_the_mask_and_alone_that_of_the_error_maps(
    alone: bool, toy_pack: str, tmp_path: Path
) -> None:
    recipe = Recipe(
        steps=50,
        batch=2,
        crops=(Crop(32, 32),),
        learning_rate=2e-3,
        multipliers=(Weighted("", 0.0), Weighted("error_head.", 1.0)) if alone else (),
        augmentation=Augmentation(whole=1.0),
        click_sampling=ClickSampling(iterative=0),
        checks=Checks(log=50, checkpoint=50, validation=0, objects=0),
    )
    card = replace(load_card("pseudoclick-mini"), recipe=recipe)
    with open_training(card, recipe, toy_pack, tmp_path) as run:
        losses, extra = [], []
        judge = run.network.extra_loss
        run.network.extra_loss = lambda *given: extra.append(judge(*given)) or extra[-1]
        for event in take_steps(run):
            assert isinstance(event, Report)
            losses.append(event.loss)
    of_errors = np.array([float(one.mean().detach()) for one in extra])
    of_masks = np.array(losses) - of_errors
    assert len(losses) == len(extra) == 50
    assert (of_errors > 0).all()
    assert (of_masks > 0).all()
    # while the mask learns, its errors become fewer and harder to find
    falling = of_errors if alone else of_masks
    assert np.mean(falling[-20:]) < 0.9 * np.mean(falling[:5])


def test_an_error_head_inserted_into_ritm_changes_no_game_and_learns(tmp_path: Path) -> None:
    base, inserted = network("ritm-lite"), network("pseudoclick-lite")
    for seed, one in enumerate((base, inserted)):
        draw_weights(one, "gluon", seed)
    save_weights(base, tmp_path / "base.safetensors", {})
    loaded = start_from(inserted, tmp_path / "base.safetensors")
    assert loaded.left == ()
    assert all(key.startswith("error_head.") for key in loaded.new)
    save_weights(inserted, tmp_path / "inserted.safetensors", {})
    sample = make_object((60, 90))
    names = {"ritm-lite": "base.safetensors", "pseudoclick-lite": "inserted.safetensors"}
    ritm, same = (
        masks(eager(name, str(tmp_path / file), **SMALL), sample) for name, file in names.items()
    )
    assert all(np.array_equal(a, b) for a, b in zip(ritm, same, strict=True))
    assert any(mask.any() for mask in ritm)
    inputs, points, _ = inserted.example_inputs((48, 64), 4)  # type: ignore[operator]
    outputs = inserted.train().forward_with_aux(  # type: ignore[operator]
        torch.cat([inputs, inputs]), torch.cat([points, points])
    )
    assert torch.allclose(torch.sigmoid(outputs.errors), torch.tensor(0.1))
    mask_loss = partial(normalised_focal_loss, alpha=0.5, gamma=2.0)
    target = (torch.rand(2, 1, 48, 64) > 0.5).float()
    inserted.extra_loss(outputs, target, mask_loss).sum().backward()  # type: ignore[operator]
    last = inserted.error_head[-1]  # type: ignore[index]
    assert last.weight.grad.any()
    assert last.bias.grad.any()
    # the features that the mask is made of are not disturbed before the head has learned
    assert not any(
        parameter.grad is not None and parameter.grad.any()
        for parameter in inserted.feature_extractor.parameters()
    )
