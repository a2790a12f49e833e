"""Losses against their formulas, written out plainly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from isbench.nn.losses import binary_cross_entropy, normalised_focal_loss, soft_iou_loss

ALPHA, GAMMA = 0.5, 2.0
seeds = st.integers(0, 2**16)


def draw(seed: int, batch: int = 3) -> tuple[Tensor, Tensor]:
    """Return logits and a target with ignored pixels, (B, 1, 4, 5)."""
    rng = np.random.default_rng(seed)
    logits = torch.tensor(rng.normal(0, 3, (batch, 1, 4, 5)), dtype=torch.float32)
    target = torch.tensor(rng.integers(-1, 2, (batch, 1, 4, 5)), dtype=torch.float32)
    return logits, target


def plain(logits: Tensor, target: Tensor, alpha: float, gamma: float) -> float:
    """Compute the normalised focal loss of one sample as the spec sheet writes it."""
    p_t, weights = [], []
    for x, y in zip(logits.flatten().tolist(), target.flatten().tolist(), strict=True):
        if y >= 0:
            p_t.append(1 - abs(y - 1 / (1 + math.exp(-x))))
            weights.append(alpha if y == 1 else 1 - alpha)
    beta = [(1 - p) ** gamma for p in p_t]
    multiplier = len(p_t) / (sum(beta) + 1e-12)
    terms = (
        -a * b * multiplier * math.log(min(p + 1e-12, 1))
        for a, b, p in zip(weights, beta, p_t, strict=True)
    )
    return sum(terms) / max(1, len(p_t))


@given(seeds, st.sampled_from([0.25, 0.5, 0.9]), st.sampled_from([0.0, 1.0, 2.0]))
def test_the_focal_loss_is_its_formula(seed: int, alpha: float, gamma: float) -> None:
    logits, target = draw(seed)
    found = normalised_focal_loss(logits, target, alpha, gamma)
    wanted = [plain(x, y, alpha, gamma) for x, y in zip(logits, target, strict=True)]
    assert found.tolist() == pytest.approx(wanted, rel=1e-4, abs=1e-6)


@given(seeds)
def test_weights_of_pixels_weight_the_mean_of_the_focal_loss(seed: int) -> None:
    logits, target = draw(seed)
    rng = np.random.default_rng(seed)
    weights = torch.tensor(rng.random(target.shape), dtype=torch.float32) + 0.1
    found = normalised_focal_loss(logits, target, ALPHA, GAMMA, weights)
    even = normalised_focal_loss(logits, target, ALPHA, GAMMA, torch.full_like(target, 0.3))
    assert torch.allclose(even, normalised_focal_loss(logits, target, ALPHA, GAMMA))
    p = torch.sigmoid(logits)
    focal = torch.where(target >= 0, (target - p).abs() ** GAMMA, 0)
    mean = focal.sum(dim=(1, 2, 3)) / (target >= 0).sum(dim=(1, 2, 3))
    each = -ALPHA * focal / mean[:, None, None, None] * torch.log(1 - (target - p).abs())
    scored = torch.where(target >= 0, weights, 0)
    wanted = torch.where(target >= 0, each, 0) * scored
    wanted = wanted.sum(dim=(1, 2, 3)) / scored.sum(dim=(1, 2, 3))
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-5)


@given(seeds)
def test_without_focus_the_focal_loss_is_half_of_the_cross_entropy(seed: int) -> None:
    logits, target = draw(seed)
    logits[0, 0, 0, 0] = 200.0  # its probability is exactly 1
    logits.requires_grad_()
    target = target.abs()
    found = normalised_focal_loss(logits, target, alpha=0.5, gamma=0.0)
    assert torch.allclose(2 * found, binary_cross_entropy(logits, target))
    found.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@given(seeds)
def test_a_sample_has_the_same_loss_in_any_company(seed: int) -> None:
    logits, target = draw(seed)
    for loss in (
        lambda x, y: normalised_focal_loss(x, y, ALPHA, GAMMA),
        binary_cross_entropy,
        soft_iou_loss,
    ):
        alone = torch.cat([loss(logits[k : k + 1], target[k : k + 1]) for k in range(3)])
        assert torch.allclose(loss(logits, target), alone)


@given(seeds)
def test_ignored_pixels_neither_count_nor_teach(seed: int) -> None:
    logits, target = draw(seed)
    changed = torch.where(target < 0, logits + 5, logits)
    for loss in (
        lambda x, y: normalised_focal_loss(x, y, ALPHA, GAMMA),
        binary_cross_entropy,
        soft_iou_loss,
    ):
        leaf = logits.clone().requires_grad_()
        loss(leaf, target).sum().backward()
        assert leaf.grad is not None
        assert not leaf.grad[target < 0].any()
        assert torch.equal(loss(logits, target), loss(changed, target))


def test_a_sample_of_ignored_pixels_alone_costs_nothing() -> None:
    logits, target = torch.randn(1, 1, 4, 5, requires_grad=True), torch.full((1, 1, 4, 5), -1.0)
    loss = normalised_focal_loss(logits, target, ALPHA, GAMMA) + binary_cross_entropy(
        logits, target
    )
    loss.sum().backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_logits_far_off_give_finite_gradients() -> None:
    logits = torch.tensor([[[[-200.0, 200.0, 200.0, -200.0]]]], requires_grad=True)
    target = torch.tensor([[[[1.0, 0.0, 1.0, 0.0]]]])
    normalised_focal_loss(logits, target, ALPHA, GAMMA).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@given(seeds)
def test_cross_entropy_averages_over_all_pixels(seed: int) -> None:
    logits, target = draw(seed, batch=1)
    terms = [
        math.log1p(math.exp(-x if y == 1 else x))
        for x, y in zip(logits.flatten().tolist(), target.flatten().tolist(), strict=True)
        if y >= 0
    ]
    assert binary_cross_entropy(logits, target).item() == pytest.approx(sum(terms) / 20, rel=1e-4)


@given(seeds)
def test_soft_iou_of_sure_logits_is_one_minus_the_iou_of_the_masks(seed: int) -> None:
    logits, target = draw(seed)
    mask = (logits > 0) & (target >= 0)
    both = (mask & (target == 1)).sum(dim=(1, 2, 3))
    either = (mask | (target == 1)).sum(dim=(1, 2, 3))
    found = soft_iou_loss(torch.where(logits > 0, 100.0, -100.0), target)
    assert torch.allclose(found, 1 - both / either.clamp(min=1))


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_soft_iou_finds_rare_pixels_that_can_be_told_only_roughly(share: float) -> None:
    rare = torch.zeros(1, 1, 100, 100)
    rare.view(-1)[: int(share * 1e4)] = 1
    suspected = torch.zeros_like(rare)
    suspected.view(-1)[: int(1.6 * share * 1e4)] = 1  # 5 of 8 of them are right
    inner, outer = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.Adam([inner, outer], 0.2)
    for _ in range(100):
        optimiser.zero_grad()
        soft_iou_loss(torch.where(suspected > 0, inner, outer), rare).sum().backward()
        optimiser.step()
    assert torch.sigmoid(inner) > 0.9
    assert torch.sigmoid(outer) < 0.1
