"""A stranger's package, really installed, is found by its entry points."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[1] / "plugin"


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
    arguments = ("run", "--model", "toy-threshold", "--dataset", "sample", "--limit", "2")
    done = isbench(installed, *arguments, "--out", str(tmp_path), "--set", "tolerance=30")
    assert done.returncode == 0, done.stderr
    assert "toy-threshold" in done.stdout
    assert len(list((tmp_path / "sample").glob("toy-threshold-*.jsonl.gz"))) == 1


def test_a_model_that_raises_on_import_is_one_line_and_exit_2(installed: dict[str, str]) -> None:
    done = isbench(installed, "run", "--model", "toy-broken", "--dataset", "sample")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "toy-broken" in done.stderr
    assert "RuntimeError: the toy is broken" in done.stderr


def test_a_broken_stranger_does_not_hide_the_others(installed: dict[str, str]) -> None:
    listed = isbench(installed, "models")
    assert listed.returncode == 0
    assert "the toy is broken" in listed.stdout
    assert "toy-threshold" in listed.stdout
    assert "grabcut" in listed.stdout


def test_an_installed_clicker_plays_like_our_own(installed: dict[str, str], tmp_path: Path) -> None:
    play = ("run", "--model", "nearest", "--dataset", "sample", "--limit", "2", "--max-clicks", "3")
    for text in ("shaky:3,first", "shaky:first=on,sigma=3.0"):
        done = isbench(installed, *play, "--out", str(tmp_path), "--clicker", text)
        assert done.returncode == 0, done.stderr
        assert "clicker=shaky:sigma=3.0,first=on" in done.stdout
    assert "nothing to play" in done.stdout + done.stderr
    assert len(list((tmp_path / "sample").glob("nearest-*.jsonl.gz"))) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shaky:-1", "clicker shaky:sigma=-1.0,first=off cannot be made: ValueError: wanted a"),
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
    assert "Simulated user: centre, largest, random, shaky, toy-broken." in shown
