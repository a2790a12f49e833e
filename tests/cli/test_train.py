"""`isbench train`: what it says, and what it refuses in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from isbench.training.loop import WEIGHTS
from tests.support.tiny import CARD

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_command_says_what_it_does(
    isbench: Callable[..., tuple[int, str, str]], toy_pack: str, tmp_path: Path
) -> None:
    code, out, err = isbench(
        "train", CARD, "--data", toy_pack, "--out", tmp_path / "t", "--set", "steps=30"
    )
    assert code == 0
    for words in (
        "tiny: 1,436 parameters, on 1 cpu process, fp32",
        "images held out",
        "part: 18 images",
        "starts: 30 steps of 4 samples",
        "1 images could not be used",
        "toy/img/007.png: image toy/img/007.png cannot be read as an image",
        f"done: weights are in {tmp_path / 't' / WEIGHTS}",
    ):
        assert words in out
    assert "step 30/30: loss" in err
    assert "step 30: validation, 0 of 2 games" in err
    assert "NoC@80/85/90" in err


def test_the_command_goes_on(
    isbench: Callable[..., tuple[int, str, str]], toy_pack: str, whole: Path
) -> None:
    code, out, _ = isbench("train", CARD, "--data", toy_pack, "--out", whole, "--resume")
    assert code == 0
    assert "resumes after step 9: 9 steps" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nearset", "--data", "DATA"), "did you mean nearest?"),
        (("nearest", "--data", "DATA"), "model nearest has no recipe"),
        ((CARD, "--data", "/nowhere/at/all"), "is not a training pack"),
        ((CARD, "--data", f"pack:{__file__}"), "is a file; wanted the folder of a training pack"),
        ((CARD, "--data", "DATA", "--out", "NEW", "--resume"), "no checkpoint"),
        ((CARD, "--data", "DATA", "--out", "WHOLE"), "another folder (--resume)"),
        ((CARD, "--data", "DATA", "--out", "WHOLE", "--resume", "--set", "seed=3"),
         "holds another training: recipe.seed is 0 there and 3 here"),
        ((CARD, "--data", "DATA", "--out", "FILE"), "wanted the name of a folder"),
        ((CARD, "--data", "DATA", "--set", "batch"), "wanted KEY=VALUE"),
        ((CARD, "--data", "DATA", "--set", "bach=3"), "did you mean batch?"),
        ((CARD, "--data", "DATA", "--out", "NEW", "--set", "init=/no/file"), "cannot start from"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_ends_in_one_line(
    isbench: Callable[..., tuple[int, str, str]],
    arguments: tuple[str, ...],
    message: str,
    toy_pack: str,
    whole: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    places = {"DATA": toy_pack, "WHOLE": whole, "NEW": tmp_path / "new", "FILE": tmp_path / "file"}
    code, _, err = isbench("train", *(places.get(one, one) for one in arguments))
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
