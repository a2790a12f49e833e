"""A step: in every precision, compiled, with frozen norms, and never by numbers that are none."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from isbench.errors import IsbenchError
from isbench.training import Checks, Crop, Weighted, train
from isbench.training.loop import take_steps
from isbench.training.training_run import open_training
from tests.support.tiny import RECIPE, Tiny, card

pytestmark = pytest.mark.usefixtures("one_thread")


def test_frozen_norms_keep_their_statistics(toy_pack: str, tmp_path: Path) -> None:
    train(card, toy_pack, tmp_path, recipe=replace(RECIPE, freeze_norm=True))
    stored = torch.load(tmp_path / "training.pt", weights_only=True)["network"]
    assert not stored["norm.running_mean"].any()
    assert (stored["norm.weight"] != 1).any()


def test_a_multiplier_of_0_freezes_weights_and_saves_their_gradients(
    toy_pack: str, tmp_path: Path
) -> None:
    plan = replace(RECIPE, multipliers=(Weighted("first.", 0.0),), checks=Checks(validation=0))
    with open_training(card, plan, toy_pack, tmp_path) as run:
        before = {name: one.detach().clone() for name, one in run.network.named_parameters()}
        list(take_steps(run))
        after = dict(run.network.named_parameters())
        same = {name for name, one in before.items() if torch.equal(one, after[name])}
        assert same == {"first.weight", "first.bias", "unused.weight", "unused.bias"}
        first = before["first.weight"].numel() + before["first.bias"].numel()
        assert run.parameters - run.trained_parameters == first > 0
        assert not any(one.requires_grad for one in run.network.first.parameters())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precisions_train_too(precision: str, toy_pack: str, tmp_path: Path) -> None:
    plan = replace(RECIPE, precision=precision, checks=Checks(validation=0))
    with open_training(card, plan, toy_pack, tmp_path) as run:
        before = run.network.first.weight.detach().clone()
        assert len(list(take_steps(run))) == 9
        assert run.scaler.is_enabled() == (precision == "fp16")
        assert not torch.equal(run.network.first.weight, before)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_convolutions_are_exact_in_fp32_alone(
    precision: str, toy_pack: str, tmp_path: Path
) -> None:
    before = torch.backends.cudnn.allow_tf32
    with open_training(card, replace(RECIPE, precision=precision), toy_pack, tmp_path):
        assert torch.backends.cudnn.allow_tf32 == (before and precision != "fp32")
    assert torch.backends.cudnn.allow_tf32 == before


def test_a_step_that_overflows_in_fp16_is_left_out_and_the_scale_lowered(
    toy_pack: str, tmp_path: Path
) -> None:
    plan = replace(RECIPE, precision="fp16", checks=Checks(validation=0))
    with open_training(card, plan, toy_pack, tmp_path) as run:
        before, scale = run.network.first.weight.detach().clone(), run.scaler.get_scale()
        run.network.first.weight.register_hook(lambda gradient: gradient * torch.inf)
        next(take_steps(run))
        assert torch.equal(run.network.first.weight, before)
        assert run.scaler.get_scale() < scale


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, of itself
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_takes_the_same_steps(toy_pack: str, tmp_path: Path) -> None:
    few = {"steps": 3, "crops": (Crop(32, 32),), "learning_rate": 1e-4}
    plan = replace(RECIPE, checks=Checks(validation=0), **few)
    losses = []
    for compiled in (False, True):
        with open_training(
            card, replace(plan, compiled=compiled), toy_pack, tmp_path / str(compiled)
        ) as s:
            s.network.drop.p = 0.0  # a compiled network draws other random numbers
            losses.append([event.loss for event in take_steps(s)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_compiling_without_a_compiler_is_refused_at_the_start(
    toy_pack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        IsbenchError, match=r"compiled=on needs a C\+\+ compiler, but .*no-such-compiler"
    ):
        train(card, toy_pack, tmp_path, recipe=replace(RECIPE, compiled=True))


class Drawing(Tiny):
    """Draws a further input from the targets, and keeps what its passes get."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__(dropout)
        self.drawn: list[list[float]] = []
        self.passes: list[tuple[bool, int]] = []

    def draw_training_inputs(self, targets: Any, generators: Any) -> tuple[Tensor]:
        self.drawn.append([rng.random() for rng in generators])
        return (torch.from_numpy(targets == 1).float().mean(dim=(1, 2)),)

    def forward_with_aux(self, inputs: Tensor, clicks: Tensor, *further: Tensor) -> Any:
        for sizes in further:
            assert sizes.shape == inputs.shape[:1]
        self.passes.append((self.training, len(further)))
        return super().forward_with_aux(inputs, clicks)


def test_a_network_draws_further_inputs_of_training_passes_by_the_number_of_the_sample(
    toy_pack: str, tmp_path: Path
) -> None:
    drawing = replace(card, networks=lambda **_: {"network": Drawing()})
    drawn = []
    for batch in (4, 2):
        plan = replace(RECIPE, batch=batch, steps=8 // batch, checks=Checks(validation=0))
        with open_training(drawing, plan, toy_pack, tmp_path / str(batch)) as run:
            assert len(list(take_steps(run))) == 8 // batch
            assert {(True, 1)} <= set(run.network.passes) <= {(True, 1), (False, 0)}
            drawn.append([value for values in run.network.drawn for value in values])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 8


def test_a_loss_that_is_no_number_ends_the_training(toy_pack: str, tmp_path: Path) -> None:
    plan = replace(RECIPE, learning_rate=1e30, gradient_clip=0.0, steps=20)
    with pytest.raises(
        IsbenchError, match=r"the loss is .* at step \d+; there is no checkpoint: start"
    ):
        train(card, toy_pack, tmp_path, recipe=plan)


def test_a_gradient_that_is_no_number_touches_nothing(toy_pack: str, tmp_path: Path) -> None:
    plan = replace(RECIPE, gradient_clip=0.0, checks=Checks(validation=0))
    with open_training(card, plan, toy_pack, tmp_path) as run:
        before = {key: value.clone() for key, value in run.network.state_dict().items()}
        run.network.first.weight.register_hook(lambda gradient: gradient * torch.inf)
        with pytest.raises(IsbenchError, match=r"the norm of its gradient (inf|nan) at step 1;"):
            list(take_steps(run))
        for net in (run.network, run.mean):
            for name, parameter in net.named_parameters():
                assert torch.equal(parameter, before[name])
    assert not (tmp_path / "training.pt").exists()
