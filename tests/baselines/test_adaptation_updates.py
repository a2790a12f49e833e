"""IA+SA's updates of weights: the loss and what each of its terms does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.adaptation.updates import (
    Anchor,
    Labels,
    Trial,
    UpdateConfig,
    Weights,
    agreement,
    corrections,
    uniform_importance,
)
from isbench.nn.clickmaps import draw_disks
from isbench.nn.network import example_image
from tests.baselines.test_adaptation import Small


def test_corrections_count_inside_disks_only_each_pixel_once_a_disk() -> None:
    logits = torch.tensor([2.0, -1.0, 0.5, 9.0]).reshape(1, 1, 1, 4)
    disks = torch.tensor([[1.0, 0, 1, 0], [0, 1, 1, 0]]).reshape(1, 2, 1, 4)
    positive = torch.nn.functional.softplus(torch.tensor([-2.0, -0.5])).sum()
    negative = torch.nn.functional.softplus(torch.tensor([-1.0, 0.5])).sum()
    assert torch.allclose(corrections(logits, disks), (positive + negative) / 4)
    assert corrections(logits, torch.zeros_like(disks)) == 0


def test_agreement_is_the_mean_over_pixels_that_are_not_ignored() -> None:
    logits = torch.tensor([2.0, -1.0, 9.0]).reshape(1, 1, 1, 3)
    mask = torch.tensor([1.0, 1.0, -1.0]).reshape(1, 1, 1, 3)
    wanted = torch.nn.functional.softplus(torch.tensor([-2.0, 1.0])).mean()
    assert torch.allclose(agreement(logits, mask), wanted)
    assert agreement(logits, torch.full_like(mask, -1)) == 0


def forward(network: nn.Module, points: Tensor, weights: Weights) -> Tensor:
    inputs = example_image((24, 32), 3)
    logits: Tensor = torch.func.functional_call(network, dict(weights), (inputs, points))[0]
    return logits


def situation() -> tuple[Callable[[Weights], Tensor], Weights, Labels]:
    """Return a network's pass, its weights, and clicks that its mask contradicts."""
    torch.manual_seed(0)
    network = Small().eval()
    points = torch.tensor([[[12.0, 9, 0], [5, 25, 1]]])
    weights = {name: value.detach() for name, value in network.named_parameters()}
    apply = partial(forward, network, points)
    with torch.no_grad():
        logits = apply(weights)
    # the mask should stay, but around the clicks the answer should be the opposite
    disks = draw_disks(points, (24, 32), 4.0)
    wrong = torch.cat([disks[:, :1] * (logits < 0), disks[:, 1:] * (logits > 0)], dim=1)
    return apply, weights, Labels(wrong + disks * (wrong.sum() == 0), (logits > 0).float())


def adapt(anchor: Anchor | None = None, **changes: Any) -> tuple[list[float], Weights, Weights]:
    """Return the losses of some steps, and the weights before and after."""
    apply, start, labels = situation()
    config = replace(UpdateConfig(8, 3e-3, 0.9, 0.01), **changes)
    trial = Trial(start, config.learning_rate)
    losses = trial.update(apply, labels, anchor or Anchor(start, uniform_importance(start)), config)
    return losses, start, trial.finish()


def test_the_loss_falls_with_every_step() -> None:
    losses, before, after = adapt()
    assert len(losses) == 8
    assert all(later < earlier for earlier, later in pairwise(losses))
    assert not torch.equal(after["first.weight"], before["first.weight"])
    assert torch.equal(after["unused.weight"], before["unused.weight"])


def test_the_start_is_never_modified() -> None:
    apply, start, labels = situation()
    kept = {name: value.clone() for name, value in start.items()}
    anchor = Anchor(start, uniform_importance(start))
    Trial(start, 0.1).update(apply, labels, anchor, UpdateConfig(2, 0.1, 0.5, 1.0))
    assert all(torch.equal(start[name], kept[name]) for name in start)


def test_the_pull_and_its_gradient_are_those_of_the_formula() -> None:
    apply, start, labels = situation()
    away = {name: value + 0.05 for name, value in start.items()}
    importance = {name: torch.rand_like(value) for name, value in start.items()}
    gamma, trial = 0.7, Trial(start, 1e-3)
    (loss,) = trial.update(
        apply, labels, Anchor(away, importance), UpdateConfig(1, 1e-3, 0.4, gamma)
    )
    weights = {name: value.clone().requires_grad_() for name, value in start.items()}
    logits = apply(weights)
    wanted = 0.4 * corrections(logits, labels.disks) + 0.6 * agreement(logits, labels.mask)
    for name, value in weights.items():
        if not name.startswith("unused"):
            wanted = wanted + gamma * (importance[name] * (value - away[name]) ** 2).sum()
    wanted.backward()
    assert loss == pytest.approx(float(wanted.detach()))
    for name, value in weights.items():
        if not name.startswith("unused"):
            assert torch.allclose(trial.weights[name].grad, value.grad, atol=1e-6)


def test_a_weight_that_matters_moves_less() -> None:
    _, start, loose = adapt(steps=30, gamma=0.0)
    little = {name: torch.tensor(1e-4) for name in start}
    importance = {**little, "last.weight": torch.tensor(1e4)}
    _, _, held = adapt(Anchor(start, importance), steps=30, gamma=1.0)

    def measure(weights: Weights, name: str) -> float:
        return float((weights[name] - start[name]).abs().mean())

    assert measure(held, "last.weight") < 0.3 * measure(loose, "last.weight")
    assert measure(held, "first.weight") > 0.5 * measure(loose, "first.weight")


def test_the_mask_term_keeps_pixels_far_from_the_clicks() -> None:
    apply, start, labels = situation()
    far = labels.disks.sum(dim=1, keepdim=True) == 0

    def drift(share: float) -> float:
        _, _, after = adapt(steps=30, share=share, gamma=0.0)
        with torch.no_grad():
            return float(agreement(apply(after), labels.mask.masked_fill(~far, -1)))

    with torch.no_grad():
        before = float(agreement(apply(start), labels.mask.masked_fill(~far, -1)))
    assert drift(1.0) > before > drift(0.5)
