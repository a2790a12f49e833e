"""A third-party package, really installed, adds one of each, and all of it plays together."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from isbench.nn.runtime import openvino
from isbench.storage import store
from isbench.storage.store import Run
from tests.conftest import write_folder_set

PLUGIN = Path(__file__).parents[1] / "plugin"
WIDTH = 8  # of the networks of toy-two


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install the plug-in into a folder of its own; return the environment that sees it."""
    source = shutil.copytree(PLUGIN, tmp_path_factory.mktemp("source") / "plugin")
    target = tmp_path_factory.mktemp("site")
    options = [
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--target",
        str(target),
    ]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True)
    paths = [str(target), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def isbench(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from isbench.cli import main; main()", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_an_installed_model_plays_like_our_own(installed: dict[str, str], tmp_path: Path) -> None:
    arguments = ("run", "--model", "threshold", "--dataset", "sample", "--limit", "2")
    done = isbench(installed, *arguments, "--out", str(tmp_path), "--set", "tolerance=30")
    assert done.returncode == 0, done.stderr
    assert "threshold" in done.stdout
    assert len(list((tmp_path / "sample").glob("threshold-*.jsonl.gz"))) == 1


def test_a_model_that_raises_on_import_is_one_line_and_exit_2(installed: dict[str, str]) -> None:
    done = isbench(installed, "run", "--model", "toy-broken", "--dataset", "sample")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "toy-broken" in done.stderr
    assert "RuntimeError: the toy is broken" in done.stderr


def test_a_broken_package_does_not_hide_the_others(installed: dict[str, str]) -> None:
    listed = isbench(installed, "models")
    assert listed.returncode == 0
    assert "the toy is broken" in listed.stdout
    assert "toy-two" in listed.stdout
    shown = isbench(installed, "models", "toy-two")
    assert "width" in shown.stdout
    assert "grabcut" in listed.stdout


def test_an_installed_clicker_plays_like_our_own(installed: dict[str, str], tmp_path: Path) -> None:
    play = ("run", "--model", "nearest", "--dataset", "sample", "--limit", "2", "--max-clicks", "3")
    for text in ("shaky:3,first", "shaky:first=on,sigma=3.0"):
        done = isbench(installed, *play, "--out", str(tmp_path), "--clicker", text)
        assert done.returncode == 0, done.stderr
        assert "shaky:sigma=3.0,first=on" in " ".join(done.stdout.split())
    assert "nothing to play" in done.stdout + done.stderr
    assert len(list((tmp_path / "sample").glob("nearest-*.jsonl.gz"))) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shaky:-1", "clicker shaky:sigma=-1.0,first=off cannot be made: wanted a"),
        ("shaky:wide", "parameter sigma of clicker shaky is 'wide'; wanted a number"),
        ("shacky", "no clicker named 'shacky'; did you mean shaky?"),
        ("toy-broken", "RuntimeError: the toy is broken"),
    ],
)
def test_a_clicker_that_cannot_play_is_one_line_and_exit_2(
    installed: dict[str, str], tmp_path: Path, text: str, said: str
) -> None:
    arguments = ("--model", "nearest", "--dataset", "sample", "--out", str(tmp_path))
    done = isbench(installed, "run", *arguments, "--clicker", text)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_installed_clickers_are_listed_and_in_the_help(installed: dict[str, str]) -> None:
    listed = isbench(installed, "clickers")
    assert listed.returncode == 0
    assert "sigma=2.0, first=off" in listed.stdout
    assert "the toy is broken" in listed.stdout
    shown = " ".join(isbench(installed, "run", "--help").stdout.split())
    assert "random, replay, shaky, slip, spread, toy-broken, uniform, worst." in shown


# The model with two networks, with every other part of the package


def make_weights() -> dict[str, Tensor]:
    """Return weights of toy-two that find what is bright, and what clicks say around them."""
    state = {
        "coarse.0.weight": torch.zeros(WIDTH, 5, 3, 3),
        "coarse.0.bias": torch.zeros(WIDTH),
        "coarse_head.weight": torch.zeros(1, WIDTH, 1, 1),
        "coarse_head.bias": torch.tensor([-5.0]),
        "refiner.weight": torch.zeros(1, 3 + WIDTH + 1, 3, 3),
        "refiner.bias": torch.zeros(1),
    }
    state["coarse.0.weight"][0, :3, 1, 1] = 1 / 3  # brightness
    for feature in (1, 2):  # positive clicks, negative clicks
        state["coarse.0.weight"][feature, 2 + feature, 1, 1] = 1
    state["coarse_head.weight"][0, :3, 0, 0] = torch.tensor([10.0, 20.0, -20.0])
    state["refiner.weight"][0, [0, -1], 1, 1] = torch.tensor([0.5, 1.0])  # a little more red
    return state


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one file with the weights of both networks."""
    path = tmp_path_factory.mktemp("weights") / "two.safetensors"
    save_file(make_weights(), path)
    return path


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of three archives: a bright object each, and something else as bright."""
    folder = tmp_path_factory.mktemp("data") / "tiles"
    folder.mkdir()
    for number in range(3):
        image = np.random.default_rng(number).integers(0, 90, (40, 52, 3), dtype=np.uint8)
        truth, other = np.zeros((2, 40, 52), bool)
        truth[8:30, 6 + number : 24] = True
        other[12:20, 34 : 42 + number] = True
        image[truth | other] += (
            160  # no pixel is near the threshold, whose bit a backend may change
        )
        ignore = np.zeros_like(truth)
        np.savez(folder / f"{number}.npz", image=image, truth=truth, ignore=ignore)
    return folder


def play(environment: Mapping[str, str], weights: Path, dataset: str, out: Path, *more: str) -> Run:
    """Play toy-two with the command line; return the run."""
    asked = ("--model", "toy-two", "--weights", str(weights), "--dataset", dataset)
    done = isbench(environment, "run", *asked, "--max-clicks", "6", "--out", str(out), *more)
    assert done.returncode == 0, done.stderr
    (path,) = store.find(out)
    return store.read(path)


@pytest.fixture(scope="module")
def eager_run(
    installed: dict[str, str],
    weights: Path,
    tiles: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """Return toy-two's games on the tiles, played with the clicker of the package on PyTorch."""
    more = ("--clicker", "shaky:2", "--stop-iou", "1.01", "--backend", "eager")
    return play(installed, weights, f"tiles:{tiles}", tmp_path_factory.mktemp("eager"), *more)


def test_all_parts_of_a_package_play_together(eager_run: Run) -> None:
    spec = eager_run.spec
    assert (spec.model, spec.dataset, spec.backend) == ("toy-two", "tiles:tiles", "eager-cpu")
    assert spec.rules.clicker == "shaky:sigma=2.0,first=off"
    assert [len(game.clicks) for game in eager_run.trajectories] == [6, 6, 6]
    assert any(not click.positive for game in eager_run.trajectories for click in game.clicks)


@pytest.mark.skipif(not openvino.is_installed(), reason="openvino is not installed")
def test_both_networks_answer_alike_on_another_backend(
    installed: dict[str, str], weights: Path, tiles: Path, eager_run: Run, tmp_path: Path
) -> None:
    more = ("--clicker", "shaky:2", "--stop-iou", "1.01", "--backend", "openvino")
    run = play(installed, weights, f"tiles:{tiles}", tmp_path, *more)
    assert run.spec.backend == "openvino-cpu"
    assert run.trajectories == eager_run.trajectories


@pytest.mark.slow
def test_two_workers_write_the_bytes_of_one(
    installed: dict[str, str], weights: Path, tiles: Path, eager_run: Run, tmp_path: Path
) -> None:
    more = ("--clicker", "shaky:2", "--stop-iou", "1.01", "--backend", "eager", "--workers", "2")
    run = play(installed, weights, f"tiles:{tiles}", tmp_path, *more)
    assert run.path.name == eager_run.path.name
    assert run.path.read_bytes() == eager_run.path.read_bytes()


def test_a_metric_of_a_package_has_its_table(installed: dict[str, str], eager_run: Run) -> None:
    words = ("report", str(eager_run.path), "--table", "extra", "--format", "markdown")
    shown = isbench(installed, *words)
    assert shown.returncode == 0, shown.stderr
    head, _, row = (line.split("|") for line in shown.stdout.splitlines() if line.startswith("|"))
    found = {name.strip(): value.split()[0] for name, value in zip(head, row, strict=True) if value}
    clicks = [click for game in eager_run.trajectories for click in game.clicks]
    negative = sum(not click.positive for click in clicks) / len(eager_run.trajectories)
    overlaps = [i / u for game in eager_run.trajectories for i, u in game.overlap]
    assert found["Negative clicks"] == f"{negative:.2f}"
    assert found["Mean IoU"] == f"{np.mean(overlaps):.4f}"
    assert "NoC@90" not in found


def test_a_paper_of_a_package_shows_its_model_on_its_data_set(
    installed: dict[str, str], weights: Path, tmp_path: Path
) -> None:
    write_folder_set(tmp_path / "data" / "Scans", objects=3)
    environment = {**installed, "ISBENCH_DATA": str(tmp_path / "data")}
    listed = isbench(environment, "data", "list")
    assert f"scans {tmp_path / 'data' / 'Scans'}" in " ".join(listed.stdout.split())
    run = play(environment, weights, "scans", tmp_path / "runs", "--backend", "eager")
    noc = np.mean([len(game.clicks) for game in run.trajectories])
    words = ("--table", "toy-paper:1", "--runs", str(tmp_path / "runs"), "--format", "markdown")
    shown = isbench(environment, "report", *words)
    assert shown.returncode == 0, shown.stderr
    row = "| Ours | two small networks | scans | toy-two |"
    assert f"{row} 1.25 / {noc:.2f} |" in shown.stdout


@pytest.mark.slow
def test_the_costs_of_a_model_are_those_of_both_networks(installed: dict[str, str]) -> None:
    counted = isbench(installed, "models", "toy-two", "--cost", "--size", "32x48")
    (row,) = (line for line in counted.stdout.splitlines() if "toy-two" in line)
    state = make_weights()
    parameters = sum(value.numel() for value in state.values())
    macs = 32 * 48 * sum(value.numel() for key, value in state.items() if key.endswith("weight"))
    assert row.split()[1:3] == [f"{parameters:,}", f"{macs / 1e9:.3f}"]


def test_a_model_with_two_networks_keeps_the_contract(
    installed: dict[str, str], weights: Path
) -> None:
    code = """if True:
        import sys
        from isbench import load_model
        from isbench.testing import check_predictor
        check_predictor("toy-two")
        check_predictor(load_model("toy-two", weights=sys.argv[1]))
    """
    command = [sys.executable, "-c", code, str(weights)]
    done = subprocess.run(command, env=installed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def refuse(environment: Mapping[str, str], weights: str, tiles: Path) -> str:
    """Return the line that refuses the weights."""
    asked = ("--model", "toy-two", "--weights", weights, "--dataset", f"tiles:{tiles}")
    done = isbench(environment, "run", *asked, "--out", str(tiles.parent / "refused"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert not (tiles.parent / "refused").exists()
    return done.stderr


def test_a_file_without_the_keys_of_one_network_is_refused(
    installed: dict[str, str], weights: Path, tiles: Path, tmp_path: Path
) -> None:
    state = {key: value for key, value in load_file(weights).items() if "refiner" not in key}
    save_file(state, tmp_path / "half.safetensors")
    said = refuse(installed, str(tmp_path / "half.safetensors"), tiles)
    assert "are for another network: missing keys: refiner.weight, refiner.bias" in said


def test_two_files_are_refused_where_networks_share_one(
    installed: dict[str, str], weights: Path, tiles: Path
) -> None:
    said = refuse(installed, f"{weights},{weights}", tiles)
    assert "this model needs 1 weight file but was given 2" in said
