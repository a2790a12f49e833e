"""Laws of recipes, their settings and schedules."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from isbench.errors import IsbenchError
from isbench.models.registry import load_card
from isbench.training import recipes, schedule
from isbench.training.optimiser import (
    draw_weights,
    find_multiplier,
    freeze_weights,
    make_optimiser,
    set_rate,
    update_mean,
)
from isbench.training.recipe import (
    SCHEDULES,
    Augmentation,
    Crop,
    Range,
    Recipe,
    Weighted,
    check_recipe,
    fill_defaults,
    with_length,
)
from isbench.training.settings import list_settings, with_settings

PAPER = Recipe(epochs=120, milestones=(100, 115))
IMAGES = 8498  # of SBD's train split


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("steps", "7", 7),
        ("learning_rate", "1e-3", 1e-3),
        ("freeze_norm", "on", True),
        ("compiled", "no", False),
        ("schedule", "one-cycle", "one-cycle"),
        ("crops", "128x160", (Crop(128, 160),)),
        ("crops", "64x64,96x128@0.5", (Crop(64, 64), Crop(96, 128, 0.5))),
        ("milestones", "10,20", (10, 20)),
        ("milestones", "", ()),
        ("multipliers", "a.b:0.1,a:2", (Weighted("a.b", 0.1), Weighted("a", 2))),
        ("betas", "0.5,0.9", Range(0.5, 0.9)),
        ("augmentation.whole", "0.25", 0.25),
        ("augmentation.scale", "0.5,2", Range(0.5, 2)),
        ("augmentation.shares", "ccp:0.2", (Weighted("ccp", 0.2),)),
        ("click_sampling.iterative", "2", 2),
        ("checks.objects", "5", 5),
    ],
)
def test_text_becomes_a_value_of_its_kind(key: str, text: str, value: object) -> None:
    assert list_settings(with_settings(PAPER, {key: text}))[key] == value


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("step", "7", "did you mean steps"),
        ("augmentation.hole", "1", r"did you mean augmentation\.whole"),
        ("augmentation", "1", "no setting of a recipe named 'augmentation'"),
        ("steps", "7.5", "wanted a whole number"),
        ("learning_rate", "fast", "wanted a number"),
        ("learning_rate", "nan", "learning_rate is 'nan'; wanted a finite number"),
        ("augmentation.rotation", "inf", "wanted a finite number"),
        ("augmentation.scale", "0.5,inf", "wanted a finite number"),
        ("multipliers", "a:1,b:nan", "wanted a finite number"),
        ("augmentation.rotation", "-1", "at least 0"),
        ("augmentation.shift", "-1", "at least 0"),
        ("augmentation.rotation", "1e308", "at most 180"),
        ("augmentation.shift", "1e308", "at most 255"),
        ("augmentation.focus_radius", "1,1e308", "at most 1000"),
        ("click_sampling.places", "99999999999999999999", "at most 10000"),
        ("crops", "100000x100000", "crops is 100000; wanted at most 8192"),
        ("seed", "18446744073709551616", "at most"),
        ("augmentation.contrast", "1,0", "low,high"),
        ("checks.log", "0", r"^recipe: checks\.log is 0; wanted at least 1$"),
        ("checks.objects", "-1", r"^recipe: checks\.objects is -1; wanted at least 0$"),
        ("freeze_norm", "maybe", "wanted on or off"),
        ("crops", "128", "wanted ROWSxCOLS"),
        ("crops", "128x128@0.5", "crops is 128x128@0.5; wanted .* starts increasing from 0"),
        ("crops", "8x128", "crops is 8x128; wanted sides of at least 32"),
        ("ema", "1", "ema is 1.0; wanted at least 0 and below 1"),
        ("betas", "1", "two numbers"),
        ("augmentation.shares", "ccp", "NAME:FACTOR"),
        ("augmentation.whole", "1.5", "wanted 0 to 1"),
        ("augmentation.scale", "2,1", r"augmentation\.scale is 2,1; wanted"),
        ("schedule", "cosin", "one of constant"),
        ("epochs", "0", "steps is 0 and epochs is 0; wanted exactly one of them above 0"),
        ("click_sampling.iterative", "25", r"0 to click_sampling\.places"),
        ("batch", "0", "at least 1"),
        ("seed", "-1", "at least 0"),
        ("weight_decay", "-1", "at least 0"),
        ("click_sampling.depth", "0.5", "at least 1"),
        ("augmentation.shares", "ccp:-1", r"augmentation\.shares is -1"),
        ("betas", "0.9,1.5", r"betas is .*below 1"),
        ("milestones", "100,200", "none beyond the length"),
        ("milestones", "9,5", "milestones is .*increasing"),
    ],
)
def test_a_setting_that_cannot_be_followed_is_refused(key: str, text: str, message: str) -> None:
    with pytest.raises(IsbenchError, match=message):
        with_settings(PAPER, {key: text})


@pytest.mark.parametrize("name", ["nan", "inf", "-inf"])
def test_a_recipe_has_finite_numbers_only(name: str) -> None:
    for changed in (
        replace(PAPER, augmentation=Augmentation(rotation=float(name))),
        replace(PAPER, augmentation=Augmentation(brightness=Range(float(name), 1))),
        replace(PAPER, multipliers=(Weighted("a", 1), Weighted("b", float(name)))),
        replace(PAPER, crops=(Crop(64, 64), Crop(96, 96, float(name)))),
    ):
        with pytest.raises(IsbenchError, match=r"^recipe: .*(nan|inf)"):
            check_recipe(changed)


def test_the_largest_seed_is_that_of_torch() -> None:
    assert with_settings(PAPER, {"seed": str(2**63 - 1)}).seed == 2**63 - 1
    torch.manual_seed(2**63 - 1)
    with pytest.raises(IsbenchError, match=r"seed is 9+; wanted at most 9223372036854775807"):
        with_settings(PAPER, {"seed": "9" * 400})


def test_a_setting_takes_what_it_takes_by_default_whatever_the_recipe_has() -> None:
    recipe = replace(PAPER, augmentation=Augmentation(rotation=8))  # a whole number
    found = with_settings(recipe, {"augmentation.rotation": "7.5"})
    assert found.augmentation.rotation == 7.5


def test_setting_steps_unsets_epochs_and_the_other_way_round() -> None:
    assert with_settings(PAPER, {"steps": "9"}).epochs == 0
    assert with_settings(with_length(PAPER, steps=9), {"epochs": "2"}).steps == 0
    with pytest.raises(IsbenchError, match="wanted exactly one of them above 0"):
        with_settings(PAPER, {"steps": "9", "epochs": "2"})


def test_another_length_moves_the_milestones_along_unless_they_are_given_too() -> None:
    short = with_settings(PAPER, {"steps": "1200"})
    assert short.milestones == (1000, 1150)
    for step, factor in ((999, 1), (1000, 0.1), (1149, 0.1), (1150, 0.01)):
        assert schedule.compute_rate_factor(short, step, IMAGES) == pytest.approx(factor)
    assert with_settings(PAPER, {"epochs": "12"}).milestones == (10, 12)
    given = {"milestones": "7,9", "steps": "10"}
    assert with_settings(PAPER, given).milestones == (7, 9)
    assert with_settings(short, {"epochs": "120"}) == PAPER


def test_the_commands_that_are_shown_for_other_data_give_the_papers_recipes() -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    found = {}
    for name in ("csfpn-hrnet18", "ritm-hrnet18"):
        (line,) = re.findall(rf"^    isbench train {name} (.* --set .*)$", page, re.MULTILINE)
        settings = dict(pair.split("=", 1) for pair in re.findall(r"--set (\S+)", line))
        found[name] = load_card(name).recipe, with_settings(load_card(name).recipe, settings)
    own, chosen = found["csfpn-hrnet18"]
    coco = {"batch": 32, "epochs": 55, "milestones": (50, 53), "multipliers": own.multipliers}
    assert chosen == replace(recipes.RITM, **coco)
    own, chosen = found["ritm-hrnet18"]
    seen = {"flip_horizontal": 0.3333, "flip_vertical": 0.3333}
    sbd = {"epochs": 220, "milestones": (200, 215), "multipliers": own.multipliers}
    assert chosen == replace(recipes.SBD, **sbd, augmentation=replace(recipes.SBD_VIEWS, **seen))


def test_whole_and_around_share_one_chance() -> None:
    with pytest.raises(IsbenchError, match="at most 1"):
        check_recipe(replace(PAPER, augmentation=Augmentation(whole=0.6, around=0.6)))


def test_a_recipe_is_the_same_text_for_the_same_values_and_reads_back() -> None:
    assert (
        PAPER.format_json()
        == replace(PAPER).format_json()
        != with_length(PAPER, steps=3).format_json()
    )
    assert json.loads(PAPER.format_json())["milestones"] == [100, 115]
    assert "checks" not in PAPER.list_deciding_settings()


def test_an_older_recipe_is_completed_with_defaults() -> None:
    stored = PAPER.list_deciding_settings()
    del stored["ema"], stored["augmentation"]["grayscale"]
    assert fill_defaults(stored) == PAPER.list_deciding_settings()


def test_recipes_load_no_torch() -> None:
    code = "import sys, isbench.training, isbench.training.settings; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_epochs_are_as_long_as_the_data_unless_said_otherwise() -> None:
    assert PAPER.count_steps(IMAGES) == 120 * (IMAGES // 28)
    assert replace(PAPER, epoch_samples=2800).count_steps(IMAGES) == 120 * 100
    assert with_length(PAPER, steps=17).count_steps(IMAGES) == 17


def test_the_papers_schedule_falls_at_its_epochs() -> None:
    epoch = PAPER.count_steps_per_epoch(IMAGES)
    for number, factor in ((0, 1), (99, 1), (100, 0.1), (114, 0.1), (115, 0.01), (119, 0.01)):
        for step in (number * epoch, (number + 1) * epoch - 1):
            assert schedule.compute_rate_factor(PAPER, step, IMAGES) == pytest.approx(factor)


def test_an_exponential_schedule_falls_after_every_epoch() -> None:
    plan = replace(PAPER, schedule="exponential", rate_decay=0.8, epoch_samples=280)
    rates = [schedule.compute_rate_factor(plan, step, IMAGES) for step in range(30)]
    assert rates == pytest.approx([1.0] * 10 + [0.8] * 10 + [0.64] * 10)


@given(st.sampled_from(SCHEDULES), st.integers(2, 500), st.floats(0, 0.9))
def test_a_rate_rises_once_and_falls_once(kind: str, steps: int, warmup: float) -> None:
    plan = Recipe(steps=steps, schedule=kind, warmup=warmup, milestones=(steps // 2,))
    rates = [schedule.compute_rate_factor(plan, step, 1) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    if kind in ("one-cycle", "cosine"):
        assert abs(peak - warmup * steps) <= 1


def test_crops_grow_at_their_shares() -> None:
    plan = Recipe(steps=10, crops=(Crop(64, 64), Crop(96, 96, 0.35), Crop(128, 160, 0.8)))
    sizes = [schedule.choose_crop_size(plan, step, 1) for step in range(10)]
    assert sizes == [(64, 64)] * 4 + [(96, 96)] * 4 + [(128, 160)] * 2


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))


def test_the_longest_prefix_of_a_name_decides_its_rate() -> None:
    factors = (Weighted("a.", 0.1), Weighted("a.b.", 1.0))
    names = ("a.c.weight", "a.b.weight", "ab.weight")
    assert [find_multiplier(name, factors) for name in names] == [0.1, 1.0, 1.0]


def test_every_parameter_is_moved_at_its_rate() -> None:
    net = network()
    plan = replace(PAPER, multipliers=(Weighted("0.", 0.1), Weighted("2.bias", 3.0)))
    stepping = make_optimiser(net, plan)
    set_rate(stepping, 2.0)
    rates = {id(p): group["lr"] for group in stepping.param_groups for p in group["params"]}
    found = {name: rates[id(p)] for name, p in net.named_parameters()}
    assert found == {
        "0.weight": pytest.approx(0.2),
        "0.bias": pytest.approx(0.2),
        "1.weight": 2.0,
        "1.bias": 2.0,
        "2.weight": 2.0,
        "2.bias": pytest.approx(6.0),
    }


@pytest.mark.parametrize(
    ("name", "factor", "match"),
    [("head", 0.1, "not a prefix of any parameter's name"), ("", 0.0, "nothing would be trained")],
)
def test_multipliers_that_cannot_be_meant_are_refused(name: str, factor: float, match: str) -> None:
    with pytest.raises(IsbenchError, match=match):
        freeze_weights(network(), replace(PAPER, multipliers=(Weighted(name, factor),)))


def test_sgd_keeps_a_share_of_its_last_step() -> None:
    net = nn.Linear(1, 1, bias=False)
    start = net.weight.item()
    plan = replace(PAPER, optimiser="sgd", betas=Range(0.5, 0.9), learning_rate=0.1)
    stepping = make_optimiser(net, plan)
    net.weight.grad = torch.ones(1, 1)
    for wanted in (0.1, 0.1 + 0.15):  # the second step is the gradient and half of the first
        stepping.step()
        assert start - net.weight.item() == pytest.approx(wanted, rel=1e-4)


def test_weights_are_drawn_by_the_seed() -> None:
    nets = [network() for _ in range(3)]
    for net, seed in zip(nets, (0, 0, 1), strict=True):
        draw_weights(net, "gluon", seed)
    first, again, other = (net[0].weight for net in nets)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not nets[0][0].bias.any()
    wide = nn.Conv2d(64, 64, 3)
    draw_weights(wide, "gluon", 0)
    assert wide.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)
    before = wide.weight.clone()
    draw_weights(wide, "torch", 0)
    assert torch.equal(wide.weight, before)


@given(st.floats(0, 0.999), st.integers(1, 10_000))
def test_the_running_mean_moves_by_its_decay(decay: float, step: int) -> None:
    mean, net = network(), network()
    net[1].num_batches_tracked.fill_(9)
    old = mean[0].weight.detach().clone()
    update_mean(mean, net, decay, step)
    kept = min(decay, (1 + step) / (10 + step))
    wanted = kept * old + (1 - kept) * net[0].weight
    assert torch.allclose(mean[0].weight, wanted, atol=1e-6)
    assert mean[1].num_batches_tracked.item() == 9


def test_no_decay_is_the_network_itself() -> None:
    mean, net = network(), network()
    update_mean(mean, net, 0.0, 1)
    assert all(map(torch.equal, mean.state_dict().values(), net.state_dict().values()))
