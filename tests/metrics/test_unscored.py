"""Objects without a scored pixel: counted, and left out of IoU@k only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import isbench as library
from isbench import Dataset, Rules, Sample
from isbench.metrics import METRICS, has_scored_pixels, make_games, summarise
from isbench.types import Click, Trajectory
from tests.conftest import write_folder_set
from tests.support.layouts import Pixels, write

Isbench = Callable[..., tuple[int, str, str]]
RULES = Rules(max_clicks=20, stop_iou=1.01)


def game(key: str, ious: list[int], positive: bool = True) -> Trajectory:
    clicks = tuple(Click(0, k, positive) for k in range(len(ious)))
    return Trajectory(key, clicks, tuple((iou, 100) for iou in ious))


EMPTY = (
    Trajectory("e#1", (Click(0, 0, False),) * 20, ((0, 0),) * 20),
    Trajectory("e#2", (Click(0, 0, False),) * 20, ((0, 7),) * 20),
    Trajectory("e#3", (Click(0, 0, False),) * 20, ((0, 9), *((0, 0),) * 19)),
)


@given(st.lists(st.lists(st.integers(0, 100), min_size=20, max_size=20), min_size=1, max_size=5))
def test_they_change_no_iou_at_k_and_count_as_never_solved(ious: list[list[int]]) -> None:
    games = [game(f"{k}#1", one) for k, one in enumerate(ious)]
    assert all(map(has_scored_pixels, games))
    assert not any(map(has_scored_pixels, EMPTY))
    alone = summarise(METRICS, make_games(games, RULES, 20))
    both = summarise(METRICS, make_games([*games, *EMPTY], RULES, 20))
    for k in (1, 3, 5, 10, 20):
        assert both[f"iou@{k}"] == pytest.approx(alone[f"iou@{k}"], nan_ok=True)
    assert both["nof@90"].value == alone["nof@90"].value + len(EMPTY)


def test_a_set_of_nothing_else_has_no_iou() -> None:
    figures = summarise(METRICS, make_games(EMPTY, RULES, 20))
    assert np.isnan(figures["iou@20"].value)
    assert figures["noc@90"].value == 20


def test_run_and_every_table_say_how_many_there_are(isbench: Isbench, tmp_path: Path) -> None:
    root = write_folder_set(tmp_path / "mine", objects=3)
    empty: Pixels = np.zeros((24, 32), np.uint8)
    empty[3:9, 3:9] = 128
    write(root / "masks" / "picture00000__1.png", empty)
    runs = tmp_path / "runs"
    played = ["--model", "nearest", "--dataset", f"folder:{root}", "--stop-iou", 1.01]
    note = "folder:mine: 1 of 3 objects have no scored pixel"
    code, printed, said = isbench("run", *played, "--max-clicks", 3, "--out", runs)
    assert code == 0, said
    assert "3 (1 unscored)" in printed
    assert note in printed
    for view in ("noc", "nof", "iou", "all"):
        for form in ("rich", "markdown", "latex"):
            _, printed, _ = isbench("report", "--runs", runs, "--table", view, "--format", form)
            assert note in printed
            assert "3 (1 unscored)" in printed
    for form in ("markdown", "latex"):
        paper = ["--table", "iou", "--format", form, "--layout", "paper"]
        _, printed, _ = isbench("report", "--runs", runs, *paper)
        assert note in printed
        assert "folder:mine 3 (1 unscored)" in printed
    assert ",unscored," in isbench("report", "--runs", runs, "--format", "csv")[1]
    assert "1 without a scored pixel" in isbench("report", "--runs", runs, "--checklist")[1]
    page = tmp_path / "page.html"
    plot = ["--plot", "iou_k", "--html", page, "--data", tmp_path, "--out", tmp_path]
    assert isbench("report", "--runs", runs, *plot)[0] == 0
    assert note in page.read_text()


def test_a_key_that_a_data_set_has_twice_is_refused_before_the_first_game(tmp_path: Path) -> None:
    def load(key: str) -> Sample:
        image = np.zeros((8, 8, 3), np.uint8)
        return Sample(key, image, image[:, :, 0] == 0, image[:, :, 0] > 0)

    for keys in (("a#1", "b#1", "a#1"), ("a", "b#1"), ("a#1\n",)):
        with pytest.raises(library.IsbenchError, match="data set made returned"):
            library.run("nearest", Dataset("made", keys, load), out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_nothing_else_says_why_it_has_no_iou(isbench: Isbench, tmp_path: Path) -> None:
    root = write_folder_set(tmp_path / "mine", objects=1)
    empty: Pixels = np.full((24, 32), 128, np.uint8)
    write(next((root / "masks").iterdir()), empty)
    played = ["--model", "nearest", "--dataset", f"folder:{root}", "--stop-iou", 1.01]
    assert isbench("run", *played, "--max-clicks", 20, "--out", tmp_path / "runs")[0] == 0
    report = ["report", "--runs", tmp_path / "runs"]
    code, printed, _ = isbench(*report, "--table", "iou")
    assert code == 0
    assert "1 run has none of these figures and is left out." in printed
    assert "1 of 1 objects have no scored pixel" in printed
    code, _, said = isbench(*report, "--plot", "iou_k", "--out", tmp_path)
    assert (code, said.count("\n")) == (2, 1)
    assert "no object of these runs has a scored pixel" in said
    for shown in (["--table", "biou"], ["--html", tmp_path / "page.html"], ["--checklist"]):
        code, _, said = isbench(*report, *shown)
        assert code == 0, said
