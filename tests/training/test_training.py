"""The loop: a resumed training is the whole one, and it learns."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from baselines.nearest import card as nearest
from baselines.ritm import Ritm
from isbench.errors import IsbenchError
from isbench.evaluation.engine import play
from isbench.metrics import curves
from isbench.nn.backbones.mini import Mini
from isbench.nn.inference.predictor import CropPredictor, InferenceConfig, answer_mask_guided
from isbench.training import Augmentation, Checks, ClickSampling, Crop, Outcome, Weighted, train
from isbench.training.loop import (
    BEST,
    WEIGHTS,
    Event,
    Report,
    ValidationProgress,
    Verdict,
    summarize,
    take_steps,
)
from isbench.training.training_log import TrainingLog
from isbench.training.training_run import open_training
from isbench.training.weight_card import read_card
from isbench.types import ModelCard, Predictor, Rules
from tests.support.tiny import RECIPE, build, card, rows

pytestmark = pytest.mark.usefixtures("one_thread")


def same_training(one: Path, other: Path) -> bool:
    left, right = (torch.load(p / "training.pt", weights_only=True) for p in (one, other))
    tensors = all(
        torch.equal(left[part][key], right[part][key])
        for part in ("network", "mean")
        for key in left[part]
    )
    moments = all(
        torch.equal(left["optimiser"]["state"][k][m], right["optimiser"]["state"][k][m])
        for k in left["optimiser"]["state"]
        for m in ("exp_avg", "exp_avg_sq")
    )
    logs = all(rows(one / name) == rows(other / name) for name in ("log.csv", "validation.csv"))
    files = all((one / n).read_bytes() == (other / n).read_bytes() for n in (WEIGHTS, BEST))
    return tensors and moments and logs and files


@pytest.mark.parametrize("stops", [(1,), (3, 5), (8,)])
def test_a_resumed_training_is_the_whole_one(
    stops: tuple[int, ...], toy_pack: str, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "resumed"
    for number, stop in enumerate(stops):
        with open_training(card, RECIPE, toy_pack, out, resume=number > 0) as run:
            for event in take_steps(run):
                if isinstance(event, Report) and event.step == stop:
                    break
            run.checkpoint()
    assert train(card, toy_pack, out, recipe=RECIPE, resume=True) == Outcome(9, True, {})
    assert same_training(whole, out)


def test_a_training_again_is_the_same(toy_pack: str, whole: Path, tmp_path: Path) -> None:
    train(card, toy_pack, tmp_path, recipe=RECIPE)
    assert same_training(whole, tmp_path)


def test_another_seed_is_another_training(toy_pack: str, whole: Path, tmp_path: Path) -> None:
    train(card, toy_pack, tmp_path, recipe=replace(RECIPE, seed=1))
    assert rows(tmp_path / "log.csv") != rows(whole / "log.csv")


def test_how_often_one_looks_changes_no_weight(toy_pack: str, whole: Path, tmp_path: Path) -> None:
    train(card, toy_pack, tmp_path, recipe=replace(RECIPE, checks=Checks(validation=0)))
    one, other = (torch.load(p / "training.pt", weights_only=True) for p in (whole, tmp_path))
    assert all(torch.equal(one["mean"][key], other["mean"][key]) for key in one["mean"])


@pytest.fixture
def stray_signals() -> Iterator[list[int]]:
    """Collect the signals that no training catches: they would end the process of the tests."""
    stray: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    outer = {one: signal.signal(one, lambda number, _: stray.append(number)) for one in numbers}
    yield stray
    for one, handler in outer.items():
        signal.signal(one, signal.SIG_DFL if handler is None else handler)


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(),
    reason="signals reach the main thread",
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_after_the_step_and_loses_nothing(
    number: signal.Signals, toy_pack: str, whole: Path, tmp_path: Path, stray_signals: list[int]
) -> None:
    before = signal.getsignal(number)
    with open_training(card, RECIPE, toy_pack, tmp_path) as run:
        for event in take_steps(run):
            if isinstance(event, Report) and event.step == 5:
                assert signal.getsignal(number) != before
                signal.raise_signal(number)
        assert run.step == 6
    assert stray_signals == []
    assert signal.getsignal(number) == before
    assert train(card, toy_pack, tmp_path, recipe=RECIPE, resume=True).complete
    assert same_training(whole, tmp_path)


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(),
    reason="signals reach the main thread",
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("step", "games"), [(4, 0), (4, 1), (8, 1), (9, 0), (9, 1), (9, 2)])
def test_a_signal_during_a_validation_ends_after_the_game_and_loses_nothing(
    number: signal.Signals,
    step: int,
    games: int,
    toy_pack: str,
    whole: Path,
    tmp_path: Path,
    stray_signals: list[int],
) -> None:
    seen: list[Event] = []
    with open_training(card, RECIPE, toy_pack, tmp_path) as run:
        for event in take_steps(run):
            seen.append(event)
            if event == ValidationProgress(step, games, 2):
                saved = torch.load(tmp_path / "training.pt", weights_only=True)
                assert (saved["step"], saved["validation_due"]) == (step, True)
                signal.raise_signal(number)
        assert run.step == step
        is_finished = games == 2
        assert summarize(run).complete == (is_finished and step == 9)
    if not is_finished:
        assert seen[-1] == ValidationProgress(step, games, 2)
        assert not any(isinstance(one, Verdict) and one.step == step for one in seen)
    assert stray_signals == []
    for _ in range(2):  # the second time there is nothing left to do
        assert train(card, toy_pack, tmp_path, recipe=RECIPE, resume=True).complete
        assert same_training(whole, tmp_path)


@pytest.mark.parametrize("kill_at", ["before", "after"])
def test_a_kill_during_a_validation_loses_nothing(
    kill_at: str, toy_pack: str, whole: Path, tmp_path: Path
) -> None:
    with open_training(card, RECIPE, toy_pack, tmp_path) as run:
        for event in take_steps(run):
            if kill_at == "before" and event == ValidationProgress(8, 1, 2):
                break
            if kill_at == "after" and isinstance(event, Verdict) and event.step == 8:
                break  # logged, but not yet in a checkpoint
    assert train(card, toy_pack, tmp_path, recipe=RECIPE, resume=True).complete
    assert same_training(whole, tmp_path)


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(),
    reason="signals reach the main thread",
)
@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_is_not_caught_whichever_it_is(
    first: signal.Signals,
    second: signal.Signals,
    toy_pack: str,
    tmp_path: Path,
    stray_signals: list[int],
) -> None:
    with open_training(card, RECIPE, toy_pack, tmp_path) as run:
        for _ in take_steps(run):
            if not stray_signals:
                signal.raise_signal(first)
                signal.raise_signal(second)
    assert stray_signals[0] == second


def test_a_training_learns(toy_pack: str, tmp_path: Path) -> None:
    plan = replace(RECIPE, steps=60, checks=Checks(log=20, validation=0))
    train(card, toy_pack, tmp_path, recipe=plan)
    losses = [float(row["loss"]) for row in rows(tmp_path / "log.csv")]
    assert losses[-1] < 0.7 * losses[0]


def test_images_that_cannot_be_used_are_named_at_the_end(toy_pack: str, tmp_path: Path) -> None:
    ended = train(
        card, toy_pack, tmp_path, recipe=replace(RECIPE, steps=30, checks=Checks(validation=0))
    )
    assert ended.complete
    assert list(ended.faults) == ["toy/img/007.png"]


@pytest.mark.parametrize("option", ["flip", "zoom_target", "threshold"])
def test_how_a_card_is_played_may_change_before_a_training_goes_on(
    option: str, toy_pack: str, tmp_path: Path
) -> None:
    short = replace(RECIPE, checks=Checks(validation=0))
    with open_training(card, short, toy_pack, tmp_path) as run:
        next(take_steps(run))
        run.checkpoint()
    other = {**card.options, "flip": True, "zoom_target": 64, "threshold": 0.3}
    changed = replace(card, options={**card.options, option: other[option]})
    with open_training(changed, short, toy_pack, tmp_path, resume=True) as run:
        assert run.step == 1
    changed = replace(changed, options={**changed.options, "dropout": 0.5})
    refused = r"options\.dropout is 0\.1 there and 0\.5 here"
    with (
        pytest.raises(IsbenchError, match=refused),
        open_training(changed, short, toy_pack, tmp_path, resume=True),
    ):
        pass


def test_a_damaged_checkpoint_is_refused(toy_pack: str, tmp_path: Path) -> None:
    for damaged in (b"no checkpoint", b""):
        (tmp_path / "training.pt").write_bytes(damaged)
        with pytest.raises(IsbenchError, match="is damaged: it is no checkpoint") as caught:
            train(card, toy_pack, tmp_path, recipe=RECIPE, resume=True)
        assert "weights_only" not in str(caught.value)


def test_a_file_in_place_of_the_folder_is_refused(toy_pack: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(IsbenchError, match=r"cannot write into .*file"):
        train(card, toy_pack, tmp_path / "file", recipe=RECIPE)


def test_a_model_without_network_is_refused(toy_pack: str, tmp_path: Path) -> None:
    with pytest.raises(IsbenchError, match="has no network to train"):
        train(ModelCard("bare", build=build), toy_pack, tmp_path, recipe=RECIPE)


def test_weights_that_are_not_finite_are_not_written(toy_pack: str, tmp_path: Path) -> None:
    checks = replace(RECIPE.checks, validation=0)
    recipe = replace(RECIPE, steps=1, milestones=(), learning_rate=1e308, checks=checks)
    wanted = "the weights are not finite after step 1; there is no checkpoint"
    with pytest.raises(IsbenchError, match=wanted):
        train(card, toy_pack, tmp_path, recipe=recipe)
    assert not (tmp_path / WEIGHTS).exists()
    assert not (tmp_path / "training.pt").exists()
    with pytest.raises(IsbenchError, match=r"log of a training without a checkpoint; delete"):
        train(card, toy_pack, tmp_path, recipe=RECIPE)
    (tmp_path / "log.csv").unlink()
    assert train(card, toy_pack, tmp_path, recipe=RECIPE).complete


def test_a_training_that_diverges_keeps_its_last_good_checkpoint(
    toy_pack: str, tmp_path: Path
) -> None:
    checks = replace(RECIPE.checks, validation=0, checkpoint=1)
    recipe = replace(RECIPE, steps=4, milestones=(), checks=checks)
    with open_training(card, recipe, toy_pack, tmp_path) as run:
        steps = take_steps(run)
        next(steps)
        good = (tmp_path / "training.pt").read_bytes()
        run.recipe = replace(recipe, learning_rate=1e308)
        with pytest.raises(IsbenchError, match=r"not finite after step 2; the last .* is kept"):
            next(steps)
    assert (tmp_path / "training.pt").read_bytes() == good


def test_frozen_norms_that_no_network_has_are_refused(toy_pack: str, tmp_path: Path) -> None:
    recipe = replace(RECIPE, frozen_norms="no.such.part.")
    with pytest.raises(IsbenchError, match=r"frozen_norms 'no\.such\.part\.' is not a prefix"):
        train(card, toy_pack, tmp_path, recipe=recipe)


def test_figures_after_clicks_that_were_not_played_are_blank(toy_pack: str, tmp_path: Path) -> None:
    train(card, toy_pack, tmp_path, recipe=replace(RECIPE, checks=replace(RECIPE.checks, clicks=3)))
    for row in rows(tmp_path / "validation.csv"):
        played = {name for name, text in row.items() if name.startswith("iou") and text}
        assert played == {"iou1", "iou2", "iou3"}
    assert "iou5" not in read_card(tmp_path / WEIGHTS)["validation"]


def test_a_log_that_cannot_be_read_is_kept(tmp_path: Path) -> None:
    (path := tmp_path / "log.csv").write_bytes(b"step,loss\n1,0.5\xff\n")
    before = path.read_bytes()
    with (
        pytest.raises(IsbenchError, match=r"cannot read .*log\.csv"),
    ):
        TrainingLog(tmp_path, 1)
    assert path.read_bytes() == before


def test_scalars_and_pictures_reach_tensorboard(toy_pack: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(card, toy_pack, tmp_path, recipe=RECIPE)
    board = EventAccumulator(str(tmp_path / "board")).Reload()
    assert {"log/loss", "log/iou", "validation/noc90"} <= set(board.Tags()["scalars"])
    assert board.Tags()["images"] == ["samples"]


def test_a_training_leaves_the_surroundings_as_they_were(toy_pack: str, tmp_path: Path) -> None:
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), cv2.getNumThreads()
    train(card, toy_pack, tmp_path, recipe=RECIPE)
    assert torch.equal(torch.get_rng_state(), before)
    assert cv2.getNumThreads() == threads


@pytest.mark.slow
def test_a_short_training_beats_the_nearest_click(real_data: Path, tmp_path: Path) -> None:
    parts = tuple(Weighted(name, 0.0) for name in ("ccp", "carparts"))
    smoke = replace(
        RECIPE, steps=400, batch=8, crops=(Crop(96, 96),), learning_rate=2e-3, ema=0.98,
        augmentation=Augmentation(whole=0.8, around=0.1, shares=parts),
        click_sampling=ClickSampling(single=0.4, centred=0.5),
        checks=Checks(validation=0, objects=20),
    )  # fmt: skip
    model = ModelCard("smoke", build=build, networks=lambda **_: {"network": Ritm(Mini())})
    with open_training(model, smoke, f"pack:{real_data / 'train'}", tmp_path) as run:

        def iou(predictor: Predictor) -> NDArray[np.float64]:
            """Return the mean IoU of held-out objects after each of 10 clicks."""
            samples = map(run.validation_objects.load, run.validation_objects.keys)
            games = play(predictor, samples, Rules(max_clicks=10))
            return curves([game.trajectory for game in games], 10).mean(axis=0)

        # images as large as those it was trained on: it has no time to learn more scales
        network = CropPredictor(
            InferenceConfig(flip=False, longest_side=96), partial(answer_mask_guided, run.mean)
        )
        drawn, simple = iou(network), iou(nearest.build())
        for _ in take_steps(run):
            pass
        trained = iou(network)
    assert trained.mean() > simple.mean() + 0.1 > drawn.mean() + 0.1, (trained, simple, drawn)
