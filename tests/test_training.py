"""The loop: a resumed training is the whole one, several processes are one, and it learns."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.nearest import card as nearest
from baselines.ritm import Ritm
from isbench.engine import play
from isbench.errors import IsbenchError
from isbench.metrics import curves
from isbench.nn.checkpoint import load_weights
from isbench.nn.clickmaps import disks
from isbench.nn.mini import Mini
from isbench.nn.ocr import Logits
from isbench.nn.predictor import Passing, View, mask_guided
from isbench.training import Checks, Crop, Lots, Outcome, Recipe, Views, Weighted, train
from isbench.training.loop import BEST, WEIGHTS, Report, Verdict, events
from isbench.training.session import opened
from isbench.training.weights import read_card, save_weights, start_from
from isbench.types import Model, Predictor, Rules
from tests.test_training_pack import write_pack

ROOT = Path(__file__).parents[1]


class Tiny(nn.Module):
    """Three convolutions: disks around clicks say where, brightness says what."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.first = nn.Conv2d(6, 8, 5, padding=2)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(dropout)
        self.main, self.aux = nn.Conv2d(8, 1, 5, padding=2), nn.Conv2d(8, 1, 1)
        self.unused = nn.Conv2d(1, 1, 1)  # as official networks have some

    def both(self, inputs: Tensor, clicks: Tensor) -> Logits:
        drawn = disks(clicks, (inputs.shape[-2], inputs.shape[-1]), 5.0)
        x = self.drop(torch.relu(self.norm(self.first(torch.cat([inputs, drawn], dim=1)))))
        return Logits(self.main(x), self.aux(x))

    def forward(self, inputs: Tensor, clicks: Tensor) -> Tensor:
        return self.both(inputs, clicks).main


def network(**_: object) -> Tiny:
    return Tiny()


def build(**_: object) -> Predictor:
    raise NotImplementedError


RECIPE = Recipe(
    steps=9,
    batch=4,
    crops=(Crop(32, 32), Crop(48, 40, 0.5)),
    learning_rate=1e-2,
    schedule="one-cycle",
    warmup=0.2,
    gradient_clip=1.0,
    ema=0.9,
    views=Views(whole=0.3, around=0.3, pasted=0.2, quarters=0.2),
    lots=Lots(centred=0.3, single=0.3),
    checks=Checks(log=2, checkpoint=3, validation=4, objects=2, clicks=3),
)
card = Model("tiny", build=build, network=network, recipe=RECIPE)
# dropout draws other lots in each process
steady = Model("steady", build=build, network=lambda **_: Tiny(0.0), recipe=RECIPE)
CARD, STEADY = "tests.test_training:card", "tests.test_training:steady"


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"pack:{write_pack(tmp_path_factory.mktemp('packs') / 'toy', broken=(7,))}"


@pytest.fixture(scope="module")
def whole(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training that nobody stopped."""
    out = tmp_path_factory.mktemp("trainings") / "whole"
    torch.set_num_threads(1)
    assert train(card, RECIPE, data, out).complete
    return out


def rows(path: Path) -> list[dict[str, str]]:
    """Return the log without the one figure that is about time."""
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k != "images_per_second"} for row in found]


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
    stops: tuple[int, ...], data: str, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "resumed"
    for number, stop in enumerate(stops):
        with opened(card, RECIPE, data, out, resume=number > 0) as session:
            for event in events(session):
                if isinstance(event, Report) and event.step == stop:
                    break
            session.checkpoint()
    assert train(card, RECIPE, data, out, resume=True) == Outcome(9, True, {})
    assert same_training(whole, out)


def test_a_training_again_is_the_same(data: str, whole: Path, tmp_path: Path) -> None:
    train(card, RECIPE, data, tmp_path)
    assert same_training(whole, tmp_path)


def test_another_seed_is_another_training(data: str, whole: Path, tmp_path: Path) -> None:
    train(card, replace(RECIPE, seed=1), data, tmp_path)
    assert rows(tmp_path / "log.csv") != rows(whole / "log.csv")


def test_how_often_one_looks_changes_no_weight(data: str, whole: Path, tmp_path: Path) -> None:
    train(card, replace(RECIPE, checks=Checks(validation=0)), data, tmp_path)
    one, other = (torch.load(p / "training.pt", weights_only=True) for p in (whole, tmp_path))
    assert all(torch.equal(one["mean"][key], other["mean"][key]) for key in one["mean"])


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(),
    reason="signals reach the main thread",
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_after_the_step_and_loses_nothing(
    number: signal.Signals, data: str, whole: Path, tmp_path: Path
) -> None:
    before = signal.getsignal(number)
    with opened(card, RECIPE, data, tmp_path) as session:
        for event in events(session):
            if isinstance(event, Report) and event.step == 5:
                assert signal.getsignal(number) != before
                signal.raise_signal(number)
        assert session.step == 6
    assert signal.getsignal(number) == before
    assert train(card, RECIPE, data, tmp_path, resume=True).complete
    assert same_training(whole, tmp_path)


def test_a_training_learns(data: str, tmp_path: Path) -> None:
    plan = replace(RECIPE, steps=60, checks=Checks(log=20, validation=0))
    train(card, plan, data, tmp_path)
    losses = [float(row["loss"]) for row in rows(tmp_path / "log.csv")]
    assert losses[-1] < 0.7 * losses[0]


def test_images_that_cannot_be_used_are_named_at_the_end(data: str, tmp_path: Path) -> None:
    ended = train(card, replace(RECIPE, steps=30, checks=Checks(validation=0)), data, tmp_path)
    assert ended.complete
    assert list(ended.faults) == ["toy/img/007.png"]


def test_validation_is_a_run_of_held_out_objects(data: str, tmp_path: Path) -> None:
    with opened(card, RECIPE, data, tmp_path) as session:
        verdicts = [event for event in events(session) if isinstance(event, Verdict)]
        assert not {k.partition("#")[0] for k in session.held.keys} & {
            one.name for one in session.corpus.entries
        }
    assert [one.step for one in verdicts] == [4, 8, 9]
    for one in verdicts:
        assert one.scores.objects == 2
        assert all(1 <= noc <= 3 for noc in one.scores.noc)
        assert all(0 <= iou <= 1 for iou in one.scores.iou)
    assert verdicts[0].best


def test_weights_that_ship_are_the_mean_in_half_the_bytes_with_a_card(whole: Path) -> None:
    net = network()
    load_weights(net, whole / WEIGHTS)
    mean = torch.load(whole / "training.pt", weights_only=True)["mean"]
    for key, value in net.state_dict().items():
        assert torch.allclose(value, mean[key], rtol=1e-3, atol=1e-4)
    told = read_card(whole / WEIGHTS)
    assert told["model"] == "tiny"
    assert told["recipe"] == RECIPE.text()
    assert told["steps"] == "9 of 9"
    assert "held-out images left out" in told["data"]
    assert '"whole": "' in told["sources"]


def test_the_same_weights_and_card_are_the_same_bytes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    texts = {f"key{k}": str(k) for k in range(20)}
    save_weights(net, tmp_path / "a.safetensors", texts)
    save_weights(net, tmp_path / "b.safetensors", dict(reversed(texts.items())))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert read_card(tmp_path / "a.safetensors") == texts
    assert not list(tmp_path.glob("*.tmp"))


def test_a_disk_that_refuses_a_file_keeps_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(network(), path, {"which": "first"})
    (tmp_path / "w.safetensors.tmp").mkdir()
    with pytest.raises(IsbenchError, match=r"cannot write .* what was there before is kept"):
        save_weights(network(), path, {"which": "second"})
    assert read_card(path) == {"which": "first"}


def test_numbers_too_large_for_half_the_bytes_stay_whole(tmp_path: Path) -> None:
    net = network()
    net.norm.running_var.fill_(1e6)
    save_weights(net, tmp_path / "w.safetensors", {})
    other = network()
    load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(other.norm.running_var, net.norm.running_var)


def test_a_training_starts_from_what_fits(data: str, whole: Path, tmp_path: Path) -> None:
    net = network()
    net.aux = nn.Conv2d(8, 2, 1)  # another shape
    net.more = nn.Conv2d(1, 1, 1)
    loaded = start_from(net, whole / WEIGHTS)
    assert set(loaded.new) == {"aux.weight", "aux.bias", "more.weight", "more.bias"}
    assert set(loaded.left) == {"aux.weight", "aux.bias"}
    plan = replace(RECIPE, init=str(whole / WEIGHTS), steps=1, learning_rate=1e-9)
    train(card, plan, data, tmp_path)
    assert read_card(tmp_path / WEIGHTS)["origin"].startswith(f"{whole / WEIGHTS} ")
    one, other = network(), network()
    load_weights(one, whole / WEIGHTS)
    load_weights(other, tmp_path / WEIGHTS)
    assert torch.equal(one.first.weight, other.first.weight)


def test_weights_of_another_kind_are_refused(tmp_path: Path, whole: Path) -> None:
    with pytest.raises(IsbenchError, match="no tensor of them fits"):
        start_from(nn.Linear(1, 1), whole / WEIGHTS)
    (tmp_path / "bad.safetensors").write_text("no")
    with pytest.raises(IsbenchError, match="cannot start from"):
        start_from(network(), tmp_path / "bad.safetensors")
    with pytest.raises(IsbenchError, match="have no card"):
        read_card(tmp_path / "bad.safetensors")


def test_frozen_norms_keep_their_statistics(data: str, tmp_path: Path) -> None:
    train(card, replace(RECIPE, freeze_norm=True), data, tmp_path)
    stored = torch.load(tmp_path / "training.pt", weights_only=True)["network"]
    assert not stored["norm.running_mean"].any()
    assert (stored["norm.weight"] != 1).any()


def test_bf16_trains_too(data: str, tmp_path: Path) -> None:
    assert train(card, replace(RECIPE, precision="bf16", steps=2), data, tmp_path).complete


def test_a_loss_that_is_no_number_ends_the_training(data: str, tmp_path: Path) -> None:
    plan = replace(RECIPE, learning_rate=1e30, gradient_clip=0.0, steps=20)
    with pytest.raises(IsbenchError, match=r"the loss is .* at step"):
        train(card, plan, data, tmp_path)


# the command line, and what it refuses


def test_the_command_says_what_it_does(
    isbench: Callable[..., tuple[int, str, str]], data: str, tmp_path: Path
) -> None:
    code, out, err = isbench(
        "train", CARD, "--data", data, "--out", tmp_path / "t", "--set", "steps=30"
    )
    assert code == 0
    for words in (
        "tiny: 1,436 parameters, on 1 cpu process, fp32",
        "images held out",
        "part: 18 images",
        "begins: 30 steps of 4 samples",
        "1 images could not be used",
        "toy/img/007.png: toy/img/007.png cannot be read",
        f"done: weights are in {tmp_path / 't' / WEIGHTS}",
    ):
        assert words in out
    assert "step 30/30: loss" in err
    assert "NoC@80/85/90" in err


def test_the_command_goes_on(
    isbench: Callable[..., tuple[int, str, str]], data: str, whole: Path
) -> None:
    code, out, _ = isbench("train", CARD, "--data", data, "--out", whole, "--resume")
    assert code == 0
    assert "goes on after step 9: 9 steps" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nearset", "--data", "DATA"), "did you mean nearest?"),
        (("nearest", "--data", "DATA"), "model nearest has no recipe"),
        ((CARD, "--data", "/nowhere/at/all"), "is no training pack"),
        ((CARD, "--data", "DATA", "--out", "NEW", "--resume"), "no checkpoint"),
        ((CARD, "--data", "DATA", "--out", "WHOLE"), "holds a training; add --resume"),
        ((CARD, "--data", "DATA", "--out", "WHOLE", "--resume", "--set", "seed=3"),
         "holds another training: recipe.seed is 0 there and 3 here"),
        ((CARD, "--data", "DATA", "--out", "FILE"), "cannot write into"),
        ((CARD, "--data", "DATA", "--set", "batch"), "wanted KEY=VALUE"),
        ((CARD, "--data", "DATA", "--set", "bach=3"), "did you mean batch?"),
        ((CARD, "--data", "DATA", "--out", "NEW", "--set", "init=/no/file"), "cannot start from"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_ends_in_one_line(
    isbench: Callable[..., tuple[int, str, str]],
    arguments: tuple[str, ...],
    message: str,
    data: str,
    whole: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    places = {"DATA": data, "WHOLE": whole, "NEW": tmp_path / "new", "FILE": tmp_path / "file"}
    code, _, err = isbench("train", *(places.get(one, one) for one in arguments))
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_a_damaged_checkpoint_is_refused(data: str, tmp_path: Path) -> None:
    (tmp_path / "training.pt").write_bytes(b"no checkpoint")
    with pytest.raises(IsbenchError, match="is damaged"):
        train(card, RECIPE, data, tmp_path, resume=True)


def test_a_model_without_network_is_refused(data: str, tmp_path: Path) -> None:
    with pytest.raises(IsbenchError, match="has no network to train"):
        train(Model("bare", build=build), RECIPE, data, tmp_path)


def test_a_batch_must_divide_among_processes(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(IsbenchError, match="batch is 4 and there are 3 processes"):
        train(card, RECIPE, data, tmp_path)


def test_scalars_and_pictures_reach_tensorboard(data: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(card, RECIPE, data, tmp_path)
    board = EventAccumulator(str(tmp_path / "board")).Reload()
    assert {"log/loss", "log/iou", "validation/noc90"} <= set(board.Tags()["scalars"])
    assert board.Tags()["images"] == ["samples"]


def test_a_training_leaves_the_surroundings_as_they_were(data: str, tmp_path: Path) -> None:
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), cv2.getNumThreads()
    train(card, RECIPE, data, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert cv2.getNumThreads() == threads


@pytest.mark.slow
def test_two_minutes_of_training_beat_the_nearest_click(real_data: Path, tmp_path: Path) -> None:
    parts = tuple(Weighted(name, 0.0) for name in ("ccp", "carparts"))
    smoke = replace(
        RECIPE, steps=400, batch=8, crops=(Crop(96, 96),), learning_rate=2e-3, ema=0.98,
        views=Views(whole=0.8, around=0.1, shares=parts), lots=Lots(single=0.4, centred=0.5),
        checks=Checks(validation=0, objects=20),
    )  # fmt: skip
    model = Model("smoke", build=build, network=lambda **_: Ritm(Mini()))
    with opened(model, smoke, f"pack:{real_data / 'train'}", tmp_path) as session:

        def iou(predictor: Predictor) -> NDArray[np.float64]:
            """Return the mean IoU of held-out objects after each of 10 clicks."""
            samples = map(session.held.load, session.held.keys)
            games = play(predictor, samples, Rules(max_clicks=10))
            return curves([game.trajectory for game in games], 10).mean(axis=0)

        # images as large as those it was trained on: it has no time to learn more scales
        network = Passing(View(flip=False, longest_side=96), partial(mask_guided, session.mean))
        drawn, simple = iou(network), iou(nearest.build())
        for _ in events(session):
            pass
        trained = iou(network)
    assert trained.mean() > simple.mean() + 0.1 > drawn.mean() + 0.1, (trained, simple, drawn)


# with processes of their own

FROZEN = {"freeze_norm": "on", "steps": "6", "checks.validation": "0", "checks.log": "1"}


def _started(*arguments: object, processes: int = 0) -> subprocess.Popen[str]:
    run = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(run if processes else []), "-m", "isbench", "train", *arguments]
    return subprocess.Popen(
        [str(one) for one in command],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_two_processes_are_one_with_the_double_batch(data: str, tmp_path: Path) -> None:
    settings = [word for pair in FROZEN.items() for word in ("--set", "=".join(pair))]
    for processes in (0, 2):
        out = tmp_path / str(processes)
        started = _started(STEADY, "--data", data, "--out", out, *settings, processes=processes)
        said, _ = started.communicate(timeout=120)
        assert started.returncode == 0, said
        assert said.count("done: weights are in") == 1
    one, two = (
        np.array(
            [[float(row["loss"]), float(row["iou"])] for row in rows(tmp_path / n / "log.csv")]
        )
        for n in ("0", "2")
    )
    assert one.shape == two.shape == (6, 2)
    assert np.allclose(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_killed_training_goes_on_as_if_nothing_had_been(data: str, tmp_path: Path) -> None:
    settings = ("--set", "steps=60", "--set", "checks.validation=0")
    killed, calm = tmp_path / "killed", tmp_path / "calm"
    started = _started(CARD, "--data", data, "--out", killed, *settings)
    deadline = time.monotonic() + 60
    while not (killed / "training.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    started.kill()
    started.communicate()
    assert (killed / "training.pt").exists()
    for out, more in ((killed, ["--resume"]), (calm, [])):
        ended = _started(CARD, "--data", data, "--out", out, *settings, *more)
        said, _ = ended.communicate(timeout=120)
        assert ended.returncode == 0, said
    assert (killed / WEIGHTS).read_bytes() == (calm / WEIGHTS).read_bytes()
    assert rows(killed / "log.csv") == rows(calm / "log.csv")
