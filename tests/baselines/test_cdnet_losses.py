"""What trains CDNet's gate and its latent answers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.cdnet import CDNet, CdnetOutput, compute_extra_loss
from isbench.nn.backbones.deeplab import DeepLab
from isbench.nn.backbones.resnet import BasicBlock, ResNet
from isbench.nn.clickmaps import draw_disks, encode_points
from isbench.nn.losses import normalised_focal_loss
from isbench.types import Click

SHAPE = (8, 12)
TARGET = (torch.arange(96).reshape(1, 1, *SHAPE) % 12 < 5).float()
RIGHT = 40 * TARGET - 20  # logits
CLICKS = encode_points([Click(4, 2, True), Click(4, 10, False)])
CLICKED = draw_disks(CLICKS, SHAPE, 1).amax(dim=1, keepdim=True)


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    return normalised_focal_loss(logits, target, 0.5, 2.0)


def judge(gate: Tensor, latents: Tensor, clicked: Tensor = CLICKED) -> Tensor:
    outputs = CdnetOutput(torch.zeros(1, 1, *SHAPE), gate, latents, clicked)
    return compute_extra_loss(outputs, TARGET, mask_loss)


def test_one_right_latent_answer_is_enough_where_nobody_clicked() -> None:
    right_gate, wrong = TARGET, -RIGHT
    clicked = torch.zeros_like(CLICKED)
    latents = torch.cat([wrong, RIGHT, wrong, wrong], dim=1)
    loss = judge(right_gate, latents, clicked)
    best = judge(right_gate, torch.cat([RIGHT] * 4, dim=1), clicked)
    # what remains are the clicks: without any, all pixels count alike
    assert best.item() == pytest.approx(0, abs=1e-5)
    at_clicks = 3 * F.binary_cross_entropy_with_logits(wrong, TARGET)
    torch.testing.assert_close(loss, at_clicks[None])
    everywhere_wrong = judge(right_gate, torch.cat([wrong] * 4, dim=1), clicked)
    torch.testing.assert_close(
        everywhere_wrong, mask_loss(wrong, TARGET) + at_clicks * 4 / 3, rtol=1e-4, atol=1e-4
    )


def test_every_latent_answer_has_to_obey_the_clicks() -> None:
    at_click, elsewhere = RIGHT.clone(), RIGHT.clone()
    at_click[..., 4, 2] *= -1
    elsewhere[..., 0, 0] *= -1
    losses = [
        judge(TARGET, torch.cat([RIGHT, RIGHT, RIGHT, wrong], dim=1)).item()
        for wrong in (at_click, elsewhere)
    ]
    assert losses[0] == pytest.approx(100 * losses[1], rel=1e-3)


def test_the_gate_has_four_tenths_of_the_masks_loss() -> None:
    gate = torch.linspace(0.05, 0.95, 96).reshape(1, 1, *SHAPE)
    right = torch.cat([RIGHT] * 4, dim=1)
    torch.testing.assert_close(
        judge(gate, right) - judge(TARGET, right),
        0.4 * mask_loss(torch.logit(gate), TARGET),
        rtol=1e-4,
        atol=1e-5,
    )
    # a gate of exactly 0 and 1 has finite logits, in half precision too
    assert torch.isfinite(judge((1 - TARGET).bfloat16(), right)).all()


def test_ignored_pixels_have_no_loss() -> None:
    target = TARGET.clone()
    target[..., 6:] = -1
    generator = torch.Generator().manual_seed(0)
    gate = torch.rand(1, 1, *SHAPE, generator=generator)
    latents = torch.randn(1, 4, *SHAPE, generator=generator)
    losses = []
    for change in (0, 5):
        changed = latents.clone()
        changed[..., 6:] += change
        outputs = CdnetOutput(torch.zeros(1, 1, *SHAPE), gate, changed, CLICKED)
        losses.append(compute_extra_loss(outputs, target, mask_loss))
    assert torch.equal(*losses)


def test_the_latents_loss_is_that_of_the_pixels_that_are_not_ignored() -> None:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 4, *SHAPE, generator=generator)
    gate = torch.full((1, 1, *SHAPE), 0.5)

    def judge_left(cols: int) -> Tensor:
        """Return the loss of the first columns alone."""
        outputs = (torch.zeros(1, 1, *SHAPE), gate, latents, CLICKED)
        return compute_extra_loss(
            CdnetOutput(*(one[..., :cols] for one in outputs)), TARGET[..., :cols], mask_loss
        )

    target = TARGET.clone()
    target[..., 6:] = -1
    outputs = CdnetOutput(torch.zeros(1, 1, *SHAPE), gate, latents, CLICKED)
    torch.testing.assert_close(compute_extra_loss(outputs, target, mask_loss), judge_left(6))
    nothing = compute_extra_loss(outputs, torch.full_like(target, -1), mask_loss)
    assert torch.equal(nothing, torch.zeros(1))


def test_with_the_masks_loss_all_of_cdnet_learns_and_samples_are_judged_alone() -> None:
    network = CDNet(DeepLab(ResNet(BasicBlock, (1, 1, 1, 1)), 8)).train()
    inputs, clicks = network.example_inputs((48, 64), 4)
    inputs, clicks = torch.cat([inputs, inputs.flip(3)]), torch.cat([clicks, clicks])
    target = (inputs[:, :1] > 0.6).float()
    outputs = network.forward_with_aux(inputs, clicks)
    assert outputs.clicked.shape == (2, 1, 48, 64)
    loss = network.extra_loss(outputs, target, mask_loss)
    alone = [
        compute_extra_loss(
            CdnetOutput(*(x[k : k + 1] for x in outputs[:4])), target[k : k + 1], mask_loss
        )
        for k in range(2)
    ]
    torch.testing.assert_close(loss, torch.cat(alone))
    (loss + mask_loss(outputs.main, target)).sum().backward()
    still = [key for key, value in network.named_parameters() if value.grad is None]
    assert still == []
    loss_alone = network.extra_loss(network.forward_with_aux(inputs, clicks), target, mask_loss)
    network.zero_grad(set_to_none=True)
    loss_alone.sum().backward()
    reached = {key for key, value in network.named_parameters() if value.grad is not None}
    assert any("gate_head_pos" in key for key in reached)
    assert any("latent_head" in key for key in reached)
    assert not any(key.startswith("head.") for key in reached)
